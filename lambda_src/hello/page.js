"use strict";
{
  const TOP = 5;
  const MAX_BYTES = 4_000_000; // Lambda takes 6 MB, and API Gateway hands it the picture in base64: 4 bytes for 3
  const MAX_SIDE = 1600; // pixels; the network sees 224
  const AUTH = document.documentElement.dataset.auth ?? "none"; // who may ask: everybody, "key" or "iam"
  const KEPT = `key of ${location.pathname}`; // in sessionStorage, which is this tab's alone
  const SLOW = 1500; // ms after which the page says what it waits for
  const LONGEST = 40_000; // ms; API Gateway gives up after 29 s
  const STAGES = { wait: "on the way", fetch: "fetch", load: "load the model", decode: "decode", predict: "predict" };

  // What each error of the endpoint means to a person. Its own words come below.
  const WORDS = {
    parameter_missing: "There is no image to predict",
    parameter_malformed: "This URL cannot be fetched",
    url_malformed: "This URL cannot be fetched",
    address_not_public: "This URL is not on the public Internet",
    image_too_large: "The image is too large",
    media_type_not_supported: "This kind of file is not supported",
    not_an_image: "This is not a supported image",
    image_broken: "The image is damaged",
    host_not_found: "There is no such host",
    host_unreachable: "The image’s host cannot be reached",
    host_certificate: "The image’s host has no valid certificate",
    host_answer: "The image’s host did not send it",
    too_many_redirects: "The URL redirects without end",
    throttled: "There are too many requests at once",
    unavailable: "The endpoint could not answer",
    misconfigured: "The endpoint is not set up completely",
    model_store_denied: "The endpoint may not read its model",
    model_store_unreachable: "The endpoint cannot reach its model",
    model_file_missing: "The endpoint’s model is not there yet",
    model_file_mismatch: "The endpoint’s model is damaged",
    model_not_usable: "The endpoint’s model does not run",
    fetch_timeout: "The image’s host took too long",
    time_limit: "It took too long",
    internal_error: "The endpoint failed",
    key_not_valid: "This key is not valid here",
    quota_exceeded: "The key’s requests of today are used up",
    signature_not_valid: "The endpoint takes signed requests only",
    access_denied: "You have no permission for this endpoint",
  };
  const WORTH_A_RETRY = new Set([0, 429, 500, 502, 503, 504]);

  const $ = (id) => document.getElementById(id);
  const show = (id, visible) => { $(id).hidden = !visible; };
  const seconds = (ms) => `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;
  const percent = (p) => (p > 0 && p < 0.001 ? "< 0.1 %" : `${(p * 100).toFixed(1)} %`);
  const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`; // for a POSIX shell
  const make = (tag, className, text = "") => {
    const element = document.createElement(tag);
    element.className = className;
    element.textContent = text;
    return element;
  };

  class Problem extends Error {
    constructor(title, message, { code = "", status = 0, retry = false, command = "" } = {}) {
      super(message);
      Object.assign(this, { title, code, status, retry, command });
    }
  }

  let asked = null; // what was asked last: {blob, name, note} or {url}
  let running = null; // the AbortController of the request under way
  let pictureUrl = null;
  const times = [];

  // Relative addresses need the slash at the end: …/Prod and …/Prod/ are the same page.
  if (!location.pathname.endsWith("/")) {
    history.replaceState(null, "", `${location.pathname}/${location.search}${location.hash}`);
  }
  const endpoint = () => new URL("predict", location.href).href;

  // ---- the key

  let key = "";
  try { key = sessionStorage.getItem(KEPT) ?? ""; } catch { /* kept in this variable alone */ }
  keep(key);
  show("signed", AUTH === "iam");

  function keep(value) {
    key = value;
    try {
      if (key) sessionStorage.setItem(KEPT, key);
      else sessionStorage.removeItem(KEPT);
    } catch { /* no storage: the page forgets it when it is loaded again */ }
    show("key-form", AUTH === "key" && !key);
    show("key-kept", AUTH === "key" && key);
  }

  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    keep($("key").value.trim());
    $("key").value = "";
    if (!key) $("key").focus();
    else if (asked) ask(asked);
  });
  $("forget").addEventListener("click", () => {
    keep("");
    $("key").focus();
  });

  // ---- ways in

  $("file").addEventListener("change", () => {
    takeFiles($("file").files);
    $("file").value = ""; // so that the same file can be chosen again
  });

  $("form").noValidate = true;
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    takeAddress($("url").value);
  });

  for (const button of document.querySelectorAll(".samples button")) {
    button.addEventListener("click", () => {
      const image = button.querySelector("img");
      const bytes = Uint8Array.from(atob(image.src.split(",")[1]), (c) => c.charCodeAt(0));
      ask({ blob: new Blob([bytes], { type: "image/jpeg" }), name: `${button.dataset.name}.jpg`, sample: button });
    });
  }

  // Anywhere on the page will do.
  let inside = 0;
  addEventListener("dragenter", (event) => { event.preventDefault(); inside += 1; $("drop").classList.add("over"); });
  addEventListener("dragleave", () => { inside -= 1; if (inside <= 0) notOver(); });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    notOver();
    takeTransfer(event.dataTransfer);
  });
  addEventListener("paste", (event) => {
    const intoField = event.target === $("url");
    if (event.clipboardData.files.length || !intoField) takeTransfer(event.clipboardData);
  });

  function notOver() {
    inside = 0;
    $("drop").classList.remove("over");
  }

  function takeTransfer(transfer) {
    const text = (transfer.getData("text/uri-list") || transfer.getData("text/plain")).trim();
    if (transfer.files.length) takeFiles(transfer.files);
    else if (/^https?:\/\/\S+$/i.test(text)) takeAddress(text);
  }

  function takeFiles(files) {
    if (files.length) ask({ blob: files[0], name: files[0].name || "image" });
  }

  function takeAddress(text) {
    const typed = text.trim();
    const wrong = !typed && "Paste the URL of an image first.";
    $("url").setAttribute("aria-invalid", String(Boolean(wrong)));
    show("url-error", wrong);
    if (wrong) {
      $("url-error").textContent = wrong;
      $("url").setAttribute("aria-describedby", "url-error");
      $("url").focus();
      return;
    }
    const url = /^[a-z][a-z0-9+.-]*:(?!\d)/i.test(typed) ? typed : `https://${typed}`;
    $("url").value = url;
    ask({ url });
  }

  $("retry").addEventListener("click", () => ask(asked));
  $("again").addEventListener("click", () => ask(asked));
  $("copy").addEventListener("click", copy);

  // ---- asking

  async function ask(request) {
    running?.abort();
    const mine = (running = new AbortController());
    asked = request;
    for (const button of document.querySelectorAll(".samples button")) {
      button.setAttribute("aria-pressed", String(button === request.sample));
    }
    showPicture(request);
    if (AUTH === "key" && !key) {
      showProblem(new Problem("The endpoint asks for a key", "Enter your API key first; the image is sent then."));
      $("key").focus();
      return;
    }
    if (AUTH === "iam") {
      const [command, hint] = curl(request);
      showProblem(new Problem(WORDS.signature_not_valid, hint, { command }));
      return;
    }
    state("busy");
    say("Predicting…");
    $("busy-text").textContent = "Predicting…";
    const slow = setTimeout(() => {
      $("busy-text").textContent = "Still waiting. Perhaps a cold start: Lambda starts an environment and loads the model first.";
    }, SLOW);
    const limit = setTimeout(() => mine.abort(), LONGEST);
    try {
      const [answer, total] = await predict(request, mine.signal);
      if (mine === running) showAnswer(request, answer, total);
    } catch (problem) {
      if (mine === running) showProblem(problem);
    } finally {
      clearTimeout(slow);
      clearTimeout(limit);
    }
  }

  async function predict(request, signal) {
    const address = new URL(endpoint());
    address.searchParams.set("top", TOP);
    let options = {};
    if (request.url) {
      address.searchParams.set("url", request.url);
    } else {
      request.sent ??= await fitting(request);
      options = { method: "POST", body: request.sent, headers: { "Content-Type": request.sent.type || "application/octet-stream" } };
    }
    const begun = performance.now();
    let response, text;
    try {
      const own = key ? { "x-api-key": key } : {};
      response = await fetch(address, { ...options, signal, headers: { Accept: "application/json", ...own, ...options.headers } });
      text = await response.text();
    } catch {
      throw signal.aborted
        ? new Problem("It took too long", "No answer came within 40 seconds.", { retry: true })
        : new Problem("The endpoint cannot be reached", "Is this machine online, and is the stack still deployed?", { retry: true });
    }
    const total = performance.now() - begun;
    let answer = null;
    try { answer = JSON.parse(text); } catch { /* not JSON: said below */ }
    if (response.ok && Array.isArray(answer?.predictions)) return [answer, total];
    const { code = "", message = "" } = answer?.error ?? {};
    const status = response.status;
    if (code === "key_not_valid") keep("");
    throw new Problem(
      WORDS[code] ?? (status === 429 ? WORDS.throttled : "The endpoint gave an answer that this page does not know"),
      sentence(message) || "The answer has no message.",
      { code, status, retry: WORTH_A_RETRY.has(status) && code !== "quota_exceeded" },
    );
  }

  // A blob small enough to send: the picture itself, or the browser's own smaller JPEG of it.
  async function fitting(request) {
    const { blob, name } = request;
    if (!blob.size) throw new Problem("This file is empty", `${name} holds no bytes.`);
    if (blob.type && !blob.type.startsWith("image/")) {
      throw new Problem("This is not a supported image", `${name} is ${blob.type}. Choose a JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF.`);
    }
    if (blob.size <= MAX_BYTES) return blob;
    let bitmap;
    try {
      bitmap = await createImageBitmap(blob); // turned upright, as its EXIF says
    } catch {
      throw new Problem("The image is too large",
        `${name} has ${megabytes(blob.size)}, at most ${megabytes(MAX_BYTES)} can be sent, and this browser cannot make it smaller.`);
    }
    const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff"; // JPEG has no transparency
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const smaller = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
    if (!smaller || smaller.size > MAX_BYTES) {
      throw new Problem("The image is too large", `${name} has ${megabytes(blob.size)}; at most ${megabytes(MAX_BYTES)} can be sent.`);
    }
    request.note = `${megabytes(blob.size)} is more than Lambda takes: sent as a JPEG of ${canvas.width} × ${canvas.height} pixels, ` +
      `${megabytes(smaller.size)}.`;
    return smaller;
  }

  const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1)} MB`;

  // ---- showing

  function state(name) {
    for (const id of ["empty", "busy", "problem", "result"]) show(id, id === name);
    $("answer").setAttribute("aria-busy", String(name === "busy"));
    // On a phone the answer is below what was touched.
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if ($("answer").getBoundingClientRect().top > innerHeight * 0.7) {
      $("answer").scrollIntoView({ behavior: calm ? "auto" : "smooth" });
    }
  }

  function say(text) {
    $("status").textContent = text;
  }

  function showPicture(request) {
    if (pictureUrl) URL.revokeObjectURL(pictureUrl);
    pictureUrl = request.blob ? URL.createObjectURL(request.blob) : null;
    const image = $("picture");
    show("preview", true);
    image.hidden = false;
    image.alt = `The image of the request: ${request.name ?? request.url}`;
    $("caption").textContent = request.name ?? request.url;
    image.onerror = () => {
      image.hidden = true;
      $("caption").textContent = `${request.name ?? request.url} (this browser cannot show it)`;
    };
    if (pictureUrl || /^https?:/i.test(request.url)) image.src = pictureUrl ?? request.url;
    else image.onerror();
  }

  function showProblem(problem) {
    state("problem");
    say("");
    const known = problem instanceof Problem;
    $("problem-title").textContent = known ? problem.title : "This page failed";
    $("problem-text").textContent = problem.message;
    const told = problem.status ? `HTTP ${problem.status}${problem.code ? `, ${problem.code}` : ""}` : problem.command ?? "";
    $("problem-code").textContent = told;
    show("problem-code", told);
    show("retry", !known || problem.retry);
  }

  function showAnswer(request, answer, total) {
    state("result");
    $("bars").replaceChildren(...answer.predictions.map(bar));
    const notes = [];
    if (request.note) notes.push(request.note);
    const classes = answer.model?.classes;
    if (answer.known === false) {
      notes.push("This image may show none of the model’s classes.");
    } else if (classes < 100) {
      notes.push(`The model has ${classes} classes and always predicts one of them, whatever the image shows.`);
    }
    $("note").textContent = notes.join(" ");
    show("note", notes.length);
    $("note").classList.toggle("unknown", answer.known === false);

    const timings = answer.timings_ms ?? {};
    const cold = answer.cold_start ?? null; // not every version of the function says
    $("total").textContent = seconds(total);
    show("start", cold !== null);
    $("start").className = `badge ${cold ? "cold" : "warm"}`;
    $("start").textContent = cold === "restored" ? "restored" : cold ? "cold start" : "warm";
    $("start-text").textContent = cold === null ? "" : cold === "restored"
      ? "Lambda started an environment from a snapshot of another."
      : cold
      ? "Lambda started an environment and loaded the model first."
      : timings.load > 0
        ? "The environment was there already; it loaded the model first."
        : "The model was in memory already.";
    const parts = Object.keys(STAGES).map((stage) => [stage, Number(timings[stage]) || 0]);
    parts[0][1] = Math.max(0, total - parts.reduce((sum, [, ms]) => sum + ms, 0));
    const seen = parts.filter(([, ms]) => ms > 0);
    $("strip").replaceChildren(...seen.map(([stage, ms]) => {
      const piece = make("i", stage);
      piece.style.flexGrow = ms / total;
      return piece;
    }));
    $("legend").replaceChildren(...seen.map(([stage, ms]) => {
      const item = make("li", "");
      item.append(make("i", stage), `${STAGES[stage]} ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
      return item;
    }));
    times.push(seconds(total) + (cold ? " (cold)" : ""));
    $("history").textContent = `So far: ${times.slice(-8).join(", ")}`;
    show("history", times.length > 1);

    const [command, hint] = curl(request);
    $("curl").textContent = command;
    $("curl-hint").textContent = hint;
    $("copy").textContent = "Copy the command";
    $("json").textContent = JSON.stringify(answer, null, 2);
    const { name, sha256, architecture, licence, not_for: notFor } = answer.model ?? {};
    const about = [architecture, classes && `${classes.toLocaleString("en")} classes`, licence && `licence: ${licence}`];
    $("model").textContent = [`${name} (SHA-256 ${sha256?.slice(0, 12)}…)`, ...about.filter(Boolean)].join(", ");
    $("not-for").textContent = notFor ? `Not for ${notFor}.` : "";
    show("not-for", notFor);
    const best = answer.predictions[0];
    say(best ? `${answer.known === false ? "Perhaps none of the model’s classes. " : ""}${named(best.class)[0]}, ${percent(best.probability)}. It took ${seconds(total)}${cold === "restored" ? ", from a snapshot" : cold ? ", a cold start" : ""}.` : "No class.");
  }

  // "n02102040 English springer, English springer spaniel" to its first name and its wnid
  function named(label) {
    const [, wnid, names] = /^(n\d{8})?\s*(.*)$/.exec(label);
    return [names.split(",")[0] || label, wnid];
  }

  function bar({ class: label, probability }) {
    const [name] = named(label);
    const item = make("li", "");
    const title = make("span", "name", name);
    title.title = label;
    const track = make("span", "track");
    const fill = make("span", "fill");
    track.setAttribute("aria-hidden", "true");
    fill.style.width = `${probability * 100}%`;
    track.append(fill);
    item.append(title, make("span", "percent", percent(probability)), track);
    return item;
  }

  // What curl must send besides, from variables of the shell: no secret is shown.
  function credentials() {
    if (AUTH === "key") return ' -H "x-api-key: $API_KEY"';
    if (AUTH !== "iam") return "";
    const region = /\.execute-api\.([a-z0-9-]+)\./.exec(location.hostname)?.[1] ?? "us-east-1";
    return ` --aws-sigv4 aws:amz:${region}:execute-api --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"` +
      ' -H "x-amz-security-token: $AWS_SESSION_TOKEN"';
  }

  function curl(request) {
    if (request.url) {
      return [`curl${credentials()} -G ${quoted(endpoint())} -d top=${TOP} --data-urlencode ${quoted(`url=${request.url}`)}`, "The same URL:"];
    }
    const file = request.sample ? `notebooks/samples/${request.name}` : request.name;
    const type = request.blob.type || "application/octet-stream";
    return [
      `curl${credentials()} ${quoted(`${endpoint()}?top=${TOP}`)} -H ${quoted(`Content-Type: ${type}`)} --data-binary ${quoted(`@${file}`)}`,
      request.sample ? "In the lab’s folder, where the sample lies in full size:" : "In the image’s folder:",
    ];
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText($("curl").textContent);
      $("copy").textContent = "Copied";
      say("Copied");
    } catch { // no permission, or not a secure context: leave it selected for Ctrl+C
      getSelection().selectAllChildren($("curl"));
      $("copy").textContent = "Selected: press Ctrl+C";
      say("The command is selected: press Ctrl+C");
    }
  }
}
