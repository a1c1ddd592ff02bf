"""What a model says of itself: `model.json` beside its files, listed in their `SHA256SUMS`.

docs/model-json.md describes its form.
"""

import json
from pathlib import Path
from typing import Any

from workshop.models.files import ABOUT, PRACTICE, CorruptedError, ModelFiles, save

RESULTS = "results.json"
SCHEMA = 1
CONVERTER = 1  # raise it when the same file becomes another network: what was fetched is then converted again
SIZE = 224  # pixels of a side, of a model that says nothing of itself
NOT_MEASURED = "not measured"
NOT_STATED = "not stated"


def read(folder: Path) -> dict[str, Any]:
    """The content of a model's `model.json`; {} where it has none. Raises CorruptedError for one of another schema."""
    path = Path(folder) / ABOUT
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] == SCHEMA and isinstance(found["input"]["size"], int):
            return found
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptedError(
            f"{path} is not a model's description ({error}). Convert or fetch the model again."
        ) from error
    raise CorruptedError(f"{path} is not of schema {SCHEMA}. Convert or fetch the model again.")


def write(folder: Path, about: dict[str, Any]) -> Path:
    """Write `about`, with the schema's number first, whole or not at all."""
    save(Path(folder) / ABOUT, (json.dumps({"schema": SCHEMA} | about, indent=1, ensure_ascii=False) + "\n").encode())
    return Path(folder) / ABOUT


def results(files: ModelFiles) -> dict[str, Any]:
    """What was measured of a model: `top1` (0 to 1) and more of it, {} where nothing was.

    The practice model's are in a file beside its parameters, with a confusion matrix, calibration and int8's agreement
    (models/practice/README.md says how they came); another model's are those of its `model.json`.
    """
    if files.source == "practice":
        return json.loads((PRACTICE / RESULTS).read_text(encoding="utf-8"))
    found = read(files.folder).get("results", NOT_MEASURED)
    return found if isinstance(found, dict) else {}


def input_size(folder: Path) -> int:
    """Height and width of the pictures that a model takes, in pixels."""
    return read(folder).get("input", {}).get("size", SIZE)


def is_current(folder: Path) -> bool:
    """Whether a model was made by the converter as it is now, or by none."""
    try:
        return read(folder).get("conversion", {}).get("version", CONVERTER) == CONVERTER
    except CorruptedError:
        return False
