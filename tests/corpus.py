"""Where the endpoint and a browser see different pictures: `python -m tests.corpus FOLDER [--url ENDPOINT]`.

Every file of the folder is decoded as the function does it and shown to a headless Chromium in an `<img>`, and a line
is printed where the two differ: one shows what the other refuses, the sizes are unlike, or the colours are. With
`--url` each file is posted to that endpoint too, and a line is printed where its status is not the one that decoding
here leads to. Nothing is fetched, and nothing leaves this machine but to the endpoint.
"""

import argparse
import base64
import collections
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from predict import images
from predict.errors import PredictionError
from tests.browser.conftest import ARGUMENTS, CHROMIUM, missing_browser

TOLERANCE = 8.0  # mean difference per value, of 255: above what decoders and colour profiles make
_SHOW = """async encoded => {
  const bytes = Uint8Array.from(atob(encoded), letter => letter.charCodeAt(0));
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([bytes]));
  const shown = await new Promise(done => { image.onload = () => done(true); image.onerror = () => done(false); });
  URL.revokeObjectURL(image.src);
  if (!shown || !image.naturalWidth) return null;
  const canvas = document.createElement("canvas");
  const share = Math.min(1, 2000 / image.naturalWidth, 2000 / image.naturalHeight);
  canvas.width = Math.max(1, Math.round(image.naturalWidth * share));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * share));
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const values = context.getImageData(0, 0, canvas.width, canvas.height).data;
  let text = "";
  for (let place = 0; place < values.length; place += 32768)
    text += String.fromCharCode(...values.subarray(place, place + 32768));
  return {size: [image.naturalWidth, image.naturalHeight], canvas: [canvas.width, canvas.height], pixels: btoa(text)};
}"""


class Shown(NamedTuple):
    """What the browser shows of a file."""

    size: tuple[int, int]  # width, height
    pixels: np.ndarray  # uint8 (H, W, 3), over white, of at most 2000 pixels a side


class Seen(NamedTuple):
    """What came of a file: here, and in the browser."""

    status: int
    ours: str  # its size, or why it was refused
    shown: Shown | None
    difference: float | None  # mean over all values; None where they cannot be compared

    @property
    def differs(self) -> bool:
        """Whether the browser shows something else, or one of the two nothing."""
        if self.shown is None or self.status != 200:
            return (self.shown is not None) == (self.status != 200)
        return self.difference is None or self.difference > TOLERANCE


@contextmanager
def browser() -> Iterator[Any]:
    """A page of a headless Chromium. Raises SystemExit where there is none."""
    if problem := missing_browser():
        sys.exit(problem)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium.new_page()
        chromium.close()


def show(page: Any, data: bytes) -> Shown | None:
    """What a page shows of an image file; None where it shows nothing."""
    found = page.evaluate(_SHOW, base64.b64encode(data).decode())
    if found is None:
        return None
    width, height = found["canvas"]
    pixels = np.frombuffer(base64.b64decode(found["pixels"]), np.uint8).reshape(height, width, 4)
    return Shown(tuple(found["size"]), pixels[..., :3])


def look(page: Any, data: bytes) -> Seen:
    """Decode a file here and show it in the page."""
    shown = show(page, data)
    try:
        picture, partial, notes = images.read(data)
    except PredictionError as refused:
        return Seen(refused.status, f"{refused.status} {refused.message}", shown, None)
    ours = f"{picture.width} x {picture.height}" + " partial" * partial + "".join(f" ({note})" for note in notes)
    if shown is None or shown.size != picture.size:
        return Seen(200, ours, shown, None)
    if picture.size != shown.pixels.shape[1::-1]:
        picture = picture.resize(shown.pixels.shape[1::-1])
    difference = np.abs(np.asarray(picture).astype(np.int16) - shown.pixels).mean()
    return Seen(200, ours, shown, float(difference))


def posted(url: str, data: bytes) -> int:
    """The status that an endpoint answers a file with."""
    request = urllib.request.Request(url, data, {"Content-Type": "application/octet-stream"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer) and answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="its files, and those of the folders in it")
    parser.add_argument("--url", help="an endpoint's address, such as `make endpoint` prints, with /predict")
    parser.add_argument("--all", action="store_true", help="print a line for every file")
    options = parser.parse_args(arguments)
    files = sorted(path for path in options.folder.rglob("*") if path.is_file())
    if not files:
        sys.exit(f"{options.folder} has no files")
    counts: collections.Counter[str] = collections.Counter()
    with browser() as page:
        for path in files:
            data = path.read_bytes()
            seen = look(page, data)
            counts["differ" if seen.differs else "alike"] += 1
            if seen.differs or options.all:
                theirs = f"{seen.shown.size[0]} x {seen.shown.size[1]}" if seen.shown else "nothing"
                unlike = "" if seen.difference is None else f", colours differ by {seen.difference:.1f}"
                print(f"{path.relative_to(options.folder)}: here {seen.ours}; the browser shows {theirs}{unlike}")
            if options.url and (status := posted(options.url, data)) != seen.status:
                counts["answered otherwise"] += 1
                print(f"{path.relative_to(options.folder)}: the endpoint answers {status}, expected {seen.status}")
    print(f"{len(files)} files: " + ", ".join(f"{count} {what}" for what, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
