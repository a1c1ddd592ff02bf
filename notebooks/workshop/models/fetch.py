"""Fetch a model's three files from where the reader chooses, and prove that they are the ones meant.

A model is `resnet-18-symbol.json` (the network), `resnet-18-0000.params` (its parameters) and `resnet-18-synset.txt`
(one line per class), with `SHA256SUMS` beside them in the form of `sha256sum`. A model may have a second symbol,
`resnet-18-int8-symbol.json`: the same network over the same parameters, in 8-bit arithmetic
(`workshop.models.quantization`). A source is one of

- `practice`: shipped in this repository;
- `imagenet`: MXNet's own, from the first mirror that answers;
- a folder, or an `s3://`, `https://` or `http://` prefix, that holds the three files and their `SHA256SUMS`.

No source stands in for another. Files arrive beside their place (`.part`), are checked, and are moved into it all at
once, so that a killed process, a full disk or a dead network leaves what was there before.
"""

import contextlib
import fcntl
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workshop.choices import ChoiceError, check_model
from workshop.models.download import disk_errors, download
from workshop.models.files import (
    FETCHED,
    FILES,
    INT8_SYMBOL,
    MANIFEST,
    PARAMS,
    PRACTICE,
    RECORD,
    SYMBOL,
    SYNSET,
    CorruptedError,
    ModelError,
    ModelFiles,
    SourceError,
    check_structure,
    open_model,
    parse_manifest,
    read_record,
    save,
    sha256,
    widen,
    write_manifest,
)


@dataclass(frozen=True)
class Mirror:
    """One place that has MXNet's files: `prefix` (ends with `/`) for symbol and params, `synset` the labels' own
    URL.
    """

    prefix: str
    synset: str

    def urls(self) -> dict[str, str]:
        return {SYMBOL: self.prefix + SYMBOL, PARAMS: self.prefix + PARAMS, SYNSET: self.synset}


_MXNET = "models/imagenet/resnet/"
_SCALA = "https://s3.us-east-2.amazonaws.com/scala-infer-models/resnet-18/"
MIRRORS = (
    Mirror(f"http://data.mxnet.io/{_MXNET}18-layers/", f"http://data.mxnet.io/{_MXNET}synset.txt"),
    Mirror(_SCALA, f"{_SCALA}synset.txt"),
    Mirror(
        f"http://data.mxnet.io.s3-website-us-west-1.amazonaws.com/{_MXNET}18-layers/",
        f"http://data.mxnet.io.s3-website-us-west-1.amazonaws.com/{_MXNET}synset.txt",
    ),
)


def model_name(source: str | Path) -> str:
    """What a model is called in folders and in the store: the last part of its source."""
    name = str(source).rstrip("/").rsplit("/", 1)[-1]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ModelError(
            f"model {str(source)!r}: expected 'practice', 'imagenet', a folder, or an s3:// or https:// prefix, whose "
            "last part is made of letters, digits, '.', '_' and '-'."
        )
    return name


def _place(source: str | Path) -> str:
    """The source in full, so that the same words always mean the same place."""
    try:
        return check_model(str(source), Path.cwd())
    except ChoiceError as error:
        raise SourceError(str(error)) from None


# Reading: one opener for each kind of place, each able to begin in the middle.


# What the files hold.


# Fetching a whole model.


def fetch(
    source: str | Path = "practice",
    store: Path = FETCHED,
    *,
    progress: bool = True,
    mirrors: Sequence[Mirror] = MIRRORS,
    attempts: int = 4,
    s3=None,
) -> ModelFiles:
    """Bring a model to `store/<name>`, verified, as float32, with a `SHA256SUMS` of its own, and return its files.

    A model that is there already, whole and from the same source, is not fetched again. `imagenet` tries `mirrors` in
    order; nobody publishes its sums, so the first fetch records them, says so in `ModelFiles.vouched`, and any later
    fetch must match. Raises ModelError and its kinds (see `download` and `check_structure`).
    """
    place, store = _place(source), Path(store)
    name = model_name(place)
    with disk_errors(store):
        store.mkdir(parents=True, exist_ok=True)
        with (store / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _fetch(place, store / name, store / f".{name}.part", progress, mirrors, attempts, s3)


def _fetch(place, folder, staging, progress, mirrors, attempts, s3) -> ModelFiles:
    known = read_record(folder) if folder.exists() else {}
    known = known if known.get("source") == place else {}
    published = None
    if place != "imagenet":
        staging.mkdir(parents=True, exist_ok=True)
        prefix = f"{PRACTICE if place == 'practice' else place}/"
        published = _published_sums(prefix, staging, attempts, s3)
    if known and published in (None, known["sums"]):
        with contextlib.suppress(SourceError, CorruptedError):
            files = open_model(folder)
            shutil.rmtree(staging, ignore_errors=True)
            return files
    staging.mkdir(parents=True, exist_ok=True)
    (staging / INT8_SYMBOL).unlink(missing_ok=True)  # one that an interrupted fetch left may belong to no file here
    expected = published or known.get("sums") or {}
    if published:
        origin = prefix
        _download_all({name: prefix + name for name in published}, staging, expected, progress, attempts, s3)
    else:
        origin = _from_first_mirror(mirrors, staging, expected, progress, attempts)
    sums = {name: sha256(staging / name) for name in published or FILES}
    if published:
        vouched = f"SHA-256 as published in {MANIFEST}"
    else:
        vouched = "SHA-256 recorded on the first fetch: the mirrors publish none"
    if widen(staging / PARAMS):
        vouched += "; float16 widened to float32"
    check_structure(staging)
    record = {"source": place, "origin": origin, "vouched": vouched, "sums": sums}
    save(staging / RECORD, json.dumps(record, indent=1).encode())
    write_manifest(staging)
    _swap(staging, folder)
    return open_model(folder)


def _published_sums(prefix: str, staging: Path, attempts: int, s3) -> dict[str, str]:
    target = staging / "published"
    for old in staging.glob("published*"):
        old.unlink()
    try:
        download(prefix + MANIFEST, target, progress=False, attempts=attempts, s3=s3)
    except SourceError as error:
        raise SourceError(
            f"{error} A model of your own needs {MANIFEST} beside its files: "
            f"`sha256sum {' '.join(FILES)} > {MANIFEST}`."
        ) from error
    return parse_manifest(target.read_text(errors="replace"), prefix + MANIFEST)


def _download_all(
    urls: Mapping[str, str], staging: Path, expected: Mapping[str, str], progress, attempts, s3=None
) -> None:
    for name, url in urls.items():
        if (staging / name).exists() and sha256(staging / name) == expected.get(name):
            continue
        (staging / name).unlink(missing_ok=True)
        download(url, staging / name, expected.get(name), progress=progress, attempts=attempts, s3=s3)


def _from_first_mirror(mirrors: Sequence[Mirror], staging: Path, expected, progress, attempts) -> str:
    tried = []
    for mirror in mirrors:
        try:
            _download_all(mirror.urls(), staging, expected, progress, attempts)
            return mirror.prefix
        except (SourceError, CorruptedError) as error:
            tried.append(f"  {mirror.prefix}\n    {error}")
    raise SourceError(
        "No mirror gave MXNet's ImageNet model. Tried, in order:\n" + "\n".join(tried) + "\nMXNet is retired and its "
        "mirrors may be gone. Use model='practice', or put "
        f"{', '.join(FILES)} and {MANIFEST} into a folder and give that folder as model."
    )


def _swap(staging: Path, folder: Path) -> None:
    """Put the finished folder in place of the old one. Killed in between, the old one is gone and the next fetch
    mends it.
    """
    for leftover in staging.iterdir():
        if leftover.name not in (*FILES, INT8_SYMBOL, MANIFEST, RECORD):
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
    folder = Path(store) / model_name(place)
    files = open_model(folder)
    if files.source != place:
        raise SourceError(
            f"{folder} holds the model of {files.source}, not {place}. Run 01_fetch_models with model={source!r}."
        )
    return files
