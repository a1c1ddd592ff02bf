// The panel's button: it takes a file, and sends at most 4 MB of it to the kernel, since a longer message would break the
// connection (Jupyter's limit is 10 MB) and the endpoint takes no more either.
const MAX_BYTES = 4_000_000;
const MAX_SIDE = 1600; // pixels; the network sees 224
const PATIENCE = 10_000; // milliseconds

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

// The file itself, or the browser's own smaller JPEG of it.
async function fitting(file) {
  if (file.size <= MAX_BYTES) return file;
  const tooLarge = `${file.name} has ${megabytes(file.size)}; at most ${megabytes(MAX_BYTES)} are taken`;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file); // turned upright, as its EXIF says
  } catch {
    throw new Error(`${tooLarge}, and this browser cannot read it to make it smaller.`);
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
  if (!smaller || smaller.size > MAX_BYTES) throw new Error(`${tooLarge}.`);
  return smaller;
}

function render({ model, el }) {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = "image/*";
  input.hidden = true;
  const button = document.createElement("button");
  button.className = "jupyter-button widget-button";
  button.textContent = "Upload";
  button.addEventListener("click", () => input.click());
  const words = document.createElement("span");
  words.setAttribute("role", "status");
  el.append(button, input, words);

  let waiting = 0;
  const say = (text) => {
    clearTimeout(waiting);
    words.textContent = text;
  };
  // The kernel has it, or has begun with something else: from here on the panel's own message says what happens.
  model.on("msg:custom", () => say(""));
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    say("Sending…");
    try {
      const fit = await fitting(file);
      const bytes = await fit.arrayBuffer();
      input.value = ""; // so that the same file can be chosen again
      model.send({ name: file.name }, undefined, [bytes]);
    } catch (problem) {
      input.value = "";
      model.send({ name: file.name, refused: problem.message });
    }
    waiting = setTimeout(
      () => say("The kernel has not taken the file yet: it is busy, or its connection is broken. What is shown is of before."),
      PATIENCE,
    );
  });
}

export default { render };
