"""The files of a model on this machine: their names and their sums."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from predict import model_files
from predict.model_files import ABOUT, INT8_SYMBOL, MANIFEST, PARAMS, SYMBOL, SYMBOLS, SYNSET
from workshop import ROOT, UserError

FILES = (SYMBOL, PARAMS, SYNSET)
OPTIONAL = (INT8_SYMBOL, ABOUT)
RECORD = "source.json"
PRACTICE = ROOT / "models" / "practice"
FETCHED = ROOT / "models" / "fetched"
INPUT_SHAPE = (1, 3, 224, 224)  # of a model that says nothing of itself


class ModelError(UserError):
    """A model's files cannot be had or are not what they should be. The message says what to do."""


class SourceError(ModelError):
    """A source does not answer, or does not have the file."""


class CorruptedError(ModelError):
    """A file's bytes are not the ones meant."""


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine, verified: where its files lie, its labels, and what vouches for it."""

    folder: Path
    name: str
    source: str
    verification: str
    labels: list[str]
    sums: dict[str, str]

    @property
    def symbol(self) -> Path:
        return self.folder / SYMBOL

    @property
    def params(self) -> Path:
        return self.folder / PARAMS

    @property
    def synset(self) -> Path:
        return self.folder / SYNSET

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST

    @property
    def sha256(self) -> str:
        """The SHA-256 of the params file: what the function's answers call `model.sha256`."""
        return self.sums[PARAMS]

    @property
    def digest(self) -> str:
        """The first 12 digits of the manifest's SHA-256: it stands for all files, labels and network, too."""
        return sha256(self.manifest)[:12]

    @property
    def prefix(self) -> str:
        """Where the model store has these files, and never others: `models/<name>/<digest>`."""
        return f"models/{self.name}/{self.digest}"

    def symbol_of(self, precision: str) -> Path:
        """The symbol that computes in `precision`. Raises ModelError where the model has none."""
        if precision not in SYMBOLS:
            raise ModelError(f"precision {precision!r}: expected {' or '.join(map(repr, SYMBOLS))}.")
        if SYMBOLS[precision] not in self.sums:
            raise ModelError(
                f"The model {self.name} has no {SYMBOLS[precision]}: deploy it with precision 'float32', or make the "
                f"file from images like those that it will get: `python -m workshop.models.quantization "
                f"{self.folder} <folder of images>`."
            )
        return self.folder / SYMBOLS[precision]

    def __iter__(self) -> Iterator[Path]:
        """The files that the model store holds, the manifest last."""
        return iter((*(self.folder / name for name in self.sums), self.manifest))


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse_manifest(text: str, where: str) -> dict[str, str]:
    """The sums of a model's files out of a `SHA256SUMS`; those of `OPTIONAL` may be missing there, and no other.

    Raises CorruptedError when one is missing or malformed.
    """
    sums = model_files.parse_manifest(text)
    if missing := [name for name in FILES if name not in sums]:
        raise CorruptedError(
            f"{where} has no SHA-256 of {', '.join(missing)}. Write it where the files are, with "
            f"`sha256sum {' '.join(FILES)} > {MANIFEST}`."
        )
    return {name: sums[name] for name in (*FILES, *OPTIONAL) if name in sums}


def write_manifest(folder: Path) -> Path:
    """Write `SHA256SUMS` for the model's files in `folder`, in the form of `sha256sum`."""
    names = [name for name in (*FILES, *OPTIONAL) if (folder / name).exists()]
    save(folder / MANIFEST, "".join(f"{sha256(folder / name)}  {name}\n" for name in names).encode())
    return folder / MANIFEST


def check_sum(path: Path, expected: str, where: str, remedy: str) -> None:
    got = sha256(path)
    if got != expected:
        raise CorruptedError(
            f"{where} is corrupted or another file: expected SHA-256 {expected}, got {got} "
            f"({path.stat().st_size:,} bytes). {remedy}"
        )


def save(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def read_labels(synset: Path) -> list[str]:
    """The classes in the order of the network's outputs: one line each, `n02102040 English springer, …`."""
    try:
        labels = [line.strip() for line in Path(synset).read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise CorruptedError(f"{SYNSET} is not UTF-8 text ({error.reason}). Fetch the model again.") from error
    if not labels:
        raise CorruptedError(f"{SYNSET} is empty: expected one line per class. Fetch the model again.")
    return labels


def read_record(folder: Path) -> dict:
    try:
        record = json.loads((folder / RECORD).read_text())
        return record if {"source", "verification", "sums"} <= record.keys() else {}
    except (OSError, ValueError, AttributeError):
        return {}


def open_model(folder: Path) -> ModelFiles:
    """Check a model's folder against its `SHA256SUMS` and return its files.

    Raises SourceError when a file is missing, CorruptedError when one is not the file that the manifest lists.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise SourceError(f"{folder / MANIFEST} is missing. Run 01_fetch_models with the same model first.")
    sums = parse_manifest((folder / MANIFEST).read_text(errors="replace"), str(folder / MANIFEST))
    for name in sums:
        if not (folder / name).is_file():
            raise SourceError(f"{folder / name} is missing. Run 01_fetch_models with the same model first.")
        check_sum(folder / name, sums[name], str(folder / name), "Run 01_fetch_models with the same model again.")
    record = read_record(folder)
    return ModelFiles(
        folder=folder,
        name=folder.name,
        source=record.get("source", str(folder)),
        verification=record.get("verification", f"SHA-256 as in {MANIFEST}"),
        labels=read_labels(folder / SYNSET),
        sums=sums,
    )
