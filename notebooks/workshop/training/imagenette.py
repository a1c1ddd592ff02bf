"""Imagenette, ten easily told classes of ImageNet (https://github.com/fastai/imagenette): where it is, what is in it.

Its photographs are ImageNet's: for research and teaching that is not commercial, and not ours to pass on.
https://www.image-net.org/download.php
"""

import hashlib
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from workshop import models

# Lines as in ImageNet's synset file of 1,000 classes, in the order of the practice model's outputs.
SYNSET = (
    "n01440764 tench, Tinca tinca",
    "n02102040 English springer, English springer spaniel",
    "n02979186 cassette player",
    "n03000684 chain saw, chainsaw",
    "n03028079 church, church building",
    "n03394916 French horn, horn",
    "n03417042 garbage truck, dustcart",
    "n03425413 gas pump, gasoline pump, petrol pump, island dispenser",
    "n03445777 golf ball",
    "n03888257 parachute, chute",
)
WNIDS = tuple(line.split(" ", 1)[0] for line in SYNSET)

# Address and MD5 of fast.ai's archives, as torchvision lists them:
# https://github.com/pytorch/vision/blob/main/torchvision/datasets/imagenette.py
ARCHIVES = {
    "imagenette2-160": (
        "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz", "e793b78cc4c9e9a4ccc0c1155377a412",
    ),
    "imagenette2-320": (
        "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz", "3df6f0d01a2c9592104656642f5e78a3",
    ),
}  # fmt: skip
MAX_UNPACKED = 3_000_000_000  # bytes; the largest archive unpacks to a ninth of that


class DataError(Exception):
    """The pictures cannot be had or are not what they should be. The message says what to do."""


def md5(path: Path) -> str:
    """The MD5 of a file, 32 hexadecimal digits: enough against damage, not against malice."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def unpack(archive: Path, folder: Path, limit: int = MAX_UNPACKED) -> None:
    """Unpack a tar archive into `folder`, which appears only when it is whole.

    Only plain files and folders, only inside `folder` (tarfile's `data` filter, PEP 706), and at most `limit` bytes.
    Raises DataError for anything else.
    """
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            total = 0
            for member in tar:
                total += member.size
                if not (member.isfile() or member.isdir()):
                    raise DataError(f"{archive.name} holds {member.name!r}, which is neither a file nor a folder")
                if total > limit:
                    raise DataError(f"{archive.name} unpacks to more than {limit:,} bytes: not the archive meant")
                tar.extract(member, partial, filter="data")
        partial.replace(folder)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive.name} does not unpack: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def fetch(
    name: str, folder: Path, archives: Mapping[str, tuple[str, str]] = ARCHIVES, progress: bool = True, **options
) -> Path:
    """Download one of `archives` into `folder`, unless it is there, and return the folder with `train` and `val` in it.

    A download that broke off goes on where it stopped, the archive is unpacked only when its MD5 is the one listed, and
    is deleted then. `options` go to `models.download`. Raises DataError or models.ModelError, which say what to do.
    """
    if name not in archives:
        raise DataError(f"archive {name!r}: expected one of {', '.join(archives)}")
    url, expected = archives[name]
    folder = Path(folder)
    unpacked = folder / name
    if not unpacked.exists():
        archive = folder / PurePosixPath(url).name
        if not archive.exists():
            models.download(url, archive, progress=progress, **options)
        if (got := md5(archive)) != expected:
            archive.unlink()
            raise DataError(f"{url} is corrupted or another file: expected MD5 {expected}, got {got}. Run this again.")
        unpack(archive, unpacked)
        archive.unlink()
    return unpacked / name if (unpacked / name).is_dir() else unpacked


def generate(folder: Path, train: int, val: int, classes: Sequence[str] = WNIDS, seed: int = 0) -> Path:
    """Draw pictures in Imagenette's place: for each class, its own shape and colour on noise, as JPEG files.

    `train`, `val`: how many per class. They show that everything runs; they teach a network nothing about the world.
    Returns `folder`.
    """
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("val", val)):
        for label, wnid in enumerate(classes):
            (folder / split / wnid).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                cv2.imwrite(str(folder / split / wnid / f"{number:04d}.JPEG"), _shape(label, len(classes), rng))
    return folder


def _shape(label: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """One generated picture, uint8 (H, W, 3) BGR: a polygon of label + 3 corners in the class's hue."""
    height, width = rng.integers(160, 280, 2)
    picture = rng.integers(90, 166, (height, width, 3)).astype(np.uint8)
    hue = np.array([[[180 * label // classes, 230, 230]]], np.uint8)
    colour = cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[0, 0].tolist()
    turn, radius = rng.uniform(0, 2 * np.pi), min(height, width) * rng.uniform(0.25, 0.45)
    angles = turn + np.arange(label + 3) * 2 * np.pi / (label + 3)
    centre = np.array([width, height]) * rng.uniform(0.4, 0.6, 2)
    corners = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cv2.fillPoly(picture, [corners.round().astype(np.int32)], colour, cv2.LINE_AA)
    return picture
