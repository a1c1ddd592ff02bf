"""Fetch a model's files from where the reader chooses, and verify them.

A model is `model-symbol.json` (the network), `model-0000.params` (its parameters) and `model-synset.txt`
(one line per class), with `SHA256SUMS` beside them in the form of `sha256sum`. A model may have a second symbol,
`model-int8-symbol.json`: the same network over the same parameters, in 8-bit arithmetic
(`workshop.models.quantization`), and a `model.json` that says what it is (`workshop.models.about`). A source is one of

- `practice`: shipped in this repository;
- `efficientnet-lite0`: 1,000 classes, from a package of the package index, converted;
- `imagenet`: ResNet-18 with 1,000 classes, from the first of several places that answers;
- a folder, or an `s3://`, `https://` or `http://` prefix, that holds the three files and their `SHA256SUMS`;
- a file of another framework's, `.onnx`, `.safetensors`, `.pth`, here or behind a URL (`workshop.models.convert`);
  `#sha256=…` behind a URL pins it.

No source stands in for another. Files arrive beside their place (`.part`), are checked, and are moved into it all at
once, so that a killed process, a full disk or a dead network leaves what was there before.
"""

import contextlib
import fcntl
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from workshop import ROOT
from workshop.choices import ChoiceError, check_model
from workshop.models import about
from workshop.models.checks import check_structure, widen
from workshop.models.download import disk_errors
from workshop.models.files import (
    ABOUT,
    FETCHED,
    FILES,
    INT8_SYMBOL,
    MANIFEST,
    PARAMS,
    PRACTICE,
    RECORD,
    CorruptedError,
    ModelFiles,
    SourceError,
    open_model,
    read_record,
    save,
    write_manifest,
)
from workshop.models.sources import IMAGENET, Conversion, Means, Mirror, source_of, title


def _place(source: str | Path) -> str:
    """The source in full, so that the same words always mean the same place."""
    try:
        try:
            return check_model(str(source), Path.cwd())
        except ChoiceError:  # a notebook runs in its own folder; a path that a person types begins where `make` runs
            return check_model(str(source), ROOT)
    except ChoiceError as error:
        raise SourceError(str(error)) from None


def fetch(
    source: str | Path = "practice",
    store: Path = FETCHED,
    *,
    progress: bool = True,
    mirrors: Sequence[Mirror | Conversion] = IMAGENET,
    attempts: int = 4,
    s3=None,
) -> ModelFiles:
    """Bring a model to `store/<name>`, verified, as float32, with a `SHA256SUMS` of its own, and return its files.

    A model that is there already, whole and from the same source, is not fetched again. `imagenet` tries `mirrors` in
    order. Where nobody publishes a file's sum, the first fetch records it, says so in `ModelFiles.verification`, and
    any later fetch must match. What is accepted has answered through the function's own predictor. Raises ModelError
    and its kinds (see `download`, `check_structure` and `workshop.models.convert`).
    """
    place, store = _place(source), Path(store)
    name = title(place)
    with disk_errors(store):
        store.mkdir(parents=True, exist_ok=True)
        with (store / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            means = Means(progress, attempts, s3)
            return _fetch(place, store / name, store / f".{name}.part", mirrors, means)


def _fetch(place: str, folder: Path, staging: Path, mirrors: Sequence[Mirror | Conversion], means: Means) -> ModelFiles:
    known = read_record(folder) if folder.exists() else {}
    known = known if known.get("source") == place else {}
    source = source_of(place, mirrors, PRACTICE)
    if place != "imagenet":
        staging.mkdir(parents=True, exist_ok=True)
    published = source.published(staging, means)
    if known and published in (None, known["sums"]) and about.is_current(folder):
        with contextlib.suppress(SourceError, CorruptedError):
            files = open_model(folder)
            shutil.rmtree(staging, ignore_errors=True)
            return files
    staging.mkdir(parents=True, exist_ok=True)
    for optional in (INT8_SYMBOL, ABOUT):  # one that an interrupted fetch left may belong to no file here
        (staging / optional).unlink(missing_ok=True)
    brought = source.bring(staging, published or known.get("sums") or {}, means)
    verification = brought.verification
    if widen(staging / PARAMS):
        verification += "; float16 widened to float32"
    check_structure(staging)
    if said := about.read(staging):
        about.write(staging, said | {"name": folder.name})
    record = {"source": place, "origin": brought.origin, "verification": verification, "sums": brought.sums}
    save(staging / RECORD, json.dumps(record, indent=1).encode())
    write_manifest(staging)
    _swap(staging, folder)
    return open_model(folder)


def _swap(staging: Path, folder: Path) -> None:
    """Put the finished folder in place of the old one. Killed in between, the old one is gone and the next fetch
    mends it.
    """
    for leftover in staging.iterdir():
        if leftover.name not in (*FILES, INT8_SYMBOL, ABOUT, MANIFEST, RECORD):
            leftover.unlink()
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    staging.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def fetched(source: str | Path = "practice", store: Path = FETCHED) -> ModelFiles:
    """The model that 01_fetch_models brought here for the same source, verified. Raises ModelError, with what to
    run.
    """
    place = _place(source)
    folder = Path(store) / title(place)
    files = open_model(folder)
    if files.source != place:
        raise SourceError(
            f"{folder} holds the model of {files.source}, not {place}. Run 01_fetch_models with model={source!r}."
        )
    return files
