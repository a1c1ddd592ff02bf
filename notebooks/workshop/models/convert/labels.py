"""The names of a network's classes: given, found beside its file, or ImageNet's."""

import json
from pathlib import Path

from workshop.models.convert.errors import ConversionError
from workshop.models.files import read_labels

IMAGENET = Path(__file__).with_name("imagenet-synset.txt")
CLASSES = 1000
BESIDE = ("labels.txt", "synset.txt")


def imagenet() -> list[str]:
    """ImageNet's 1,000 classes of 2012 in their usual order, `n01440764 tench, Tinca tinca` the first."""
    return read_labels(IMAGENET)


def find(wanted: str | Path | None, file: Path, config: dict) -> tuple[list[str], str]:
    """The labels, and where they are from. `wanted`: a file of one label a line, or `imagenet`; None: what lies beside
    `file` (`<its name>.labels.txt`, `labels.txt`, `synset.txt`), or what the model's `config` says.

    Raises ConversionError where there are none, or a class has two names in `config`.
    """
    if wanted is not None and str(wanted) == "imagenet":
        return imagenet(), "ImageNet's 1,000, as asked"
    if wanted is not None:
        return _read(Path(wanted)), Path(wanted).name
    for name in (f"{file.stem}.labels.txt", *BESIDE):
        if file.with_name(name).is_file():
            return _read(file.with_name(name)), name
    names = config.get("label_names") or config.get("id2label")
    if isinstance(names, dict):
        names = [names.get(str(index)) for index in range(len(names))]
    if isinstance(names, list) and names and all(isinstance(name, str) and name.strip() for name in names):
        return [" ".join(name.split()) for name in names], "config.json"
    details = config.get("pretrained_cfg") or {}
    if config.get("num_classes", details.get("num_classes")) == CLASSES and "in1k" in str(details.get("tag", "")):
        return imagenet(), f"ImageNet's 1,000, as config.json's tag {details['tag']} says"
    raise ConversionError(
        "the names of the classes are not known: give --labels with a file of one a line, in the order of the "
        f"network's outputs, or put {BESIDE[0]} beside the file; --labels imagenet for ImageNet's 1,000."
    )


def _read(path: Path) -> list[str]:
    try:
        return read_labels(path)
    except OSError as error:
        raise ConversionError(f"{path}: {error.strerror}. Give a file of one label a line.") from error


def read_config(file: Path) -> dict:
    """`config.json` beside a file of weights, {} where there is none or it is no object."""
    try:
        found = json.loads(file.with_name("config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
