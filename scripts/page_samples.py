"""Make the front page's small copies of the sample pictures: `make page-samples`, after the samples have changed.

    python scripts/page_samples.py

They stand in the page itself as data: addresses, so they are small: 320 × 240 pixels, about 10 kB each.
"""

import sys
from pathlib import Path

import cv2

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "notebooks" / "samples"
TARGET = ROOT / "lambda_src" / "hello" / "samples"
SIZE = (320, 240)
QUALITY = 78


def small(file: Path) -> bytes:
    """The bytes of a small JPEG of the picture in `file`."""
    pixels = cv2.resize(cv2.imread(str(file)), SIZE, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1].tobytes()


def main() -> None:
    """Write a small copy of every sample, and remove those whose sample is gone."""
    TARGET.mkdir(exist_ok=True)
    samples = sorted(SOURCE.glob("*.jpg"))
    for file in TARGET.glob("*.jpg"):
        if file.name not in {sample.name for sample in samples}:
            file.unlink()
    for sample in samples:
        size = (TARGET / sample.name).write_bytes(small(sample))
        sys.stdout.write(f"{sample.name}  {size / 1024:.1f} KiB\n")


if __name__ == "__main__":
    main()
