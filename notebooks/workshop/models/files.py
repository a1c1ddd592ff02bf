"""The files of a model on this machine: their names, their sums, and whether they belong together."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workshop import ROOT, ToldError

STEM = "resnet-18"
SYMBOL = f"{STEM}-symbol.json"
PARAMS = f"{STEM}-0000.params"
SYNSET = f"{STEM}-synset.txt"
FILES = (SYMBOL, PARAMS, SYNSET)
INT8_SYMBOL = f"{STEM}-int8-symbol.json"  # optional
ABOUT = "model.json"  # optional
OPTIONAL = (INT8_SYMBOL, ABOUT)
SYMBOLS = {"float32": SYMBOL, "int8": INT8_SYMBOL}
MANIFEST = "SHA256SUMS"
RECORD = "source.json"
PRACTICE = ROOT / "models" / "practice"
FETCHED = ROOT / "models" / "fetched"
INPUT_SHAPE = (1, 3, 224, 224)


class ModelError(ToldError):
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
    vouched: str
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

    def symbol_of(self, precision: str) -> Path:
        """The symbol that computes in `precision`. Raises ModelError where the model has none."""
        if precision not in SYMBOLS:
            raise ModelError(f"precision {precision!r}: expected {' or '.join(map(repr, SYMBOLS))}.")
        if SYMBOLS[precision] not in self.sums:
            raise ModelError(
                f"The model {self.name} has no {SYMBOLS[precision]}: deploy it with precision 'float32', or make the "
                f"file from pictures like those that it will see: `python -m workshop.models.quantization "
                f"{self.folder} <folder of pictures>`."
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
    sums = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line.rstrip()):
            sums[match[2]] = match[1].lower()
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


def check_structure(folder: Path) -> list[str]:
    """Check that symbol, params and synset belong together, and return the labels.

    The symbol must parse, every parameter it names must be there with the shape that an input of (1, 3, 224, 224)
    asks for, and the last layer must have as many rows as there are labels. Raises CorruptedError.
    """
    import mxnet as mx  # takes a second, and most readers of this module need no network

    folder = Path(folder)
    labels = read_labels(folder / SYNSET)
    try:
        symbol = mx.sym.load_json((folder / SYMBOL).read_text(encoding="utf-8"))
    except (mx.MXNetError, ValueError) as error:
        raise CorruptedError(f"{SYMBOL} is not a network that MXNet can read. Check its source.") from error
    try:
        values = mx.nd.load(str(folder / PARAMS))
    except mx.MXNetError as error:
        raise CorruptedError(f"{PARAMS} holds no parameters that MXNet can read. Check its source.") from error
    if "data" not in symbol.list_arguments() or not isinstance(values, dict):
        raise CorruptedError(
            f"{SYMBOL} has no input 'data', or {PARAMS} no names: expected an image classifier of MXNet."
        )
    arguments, outputs, auxiliary = symbol.infer_shape(data=INPUT_SHAPE)
    wanted = dict(zip((f"arg:{name}" for name in symbol.list_arguments()), arguments, strict=True))
    wanted |= dict(zip((f"aux:{name}" for name in symbol.list_auxiliary_states()), auxiliary, strict=True))
    for name, shape in wanted.items():
        if name in ("arg:data", "arg:softmax_label"):
            continue
        got = values[name].shape if name in values else "nothing"
        if got != shape:
            raise CorruptedError(
                f"{PARAMS} does not fit {SYMBOL}: {name} should be {shape}, got {got}. Check the source."
            )
    if outputs[0] != (1, len(labels)):
        raise CorruptedError(
            f"{SYNSET} has {len(labels)} lines; the last layer has {outputs[0][1]} rows. Check the source."
        )
    return labels


def widen(params: Path) -> bool:
    """Turn float16 parameters into float32, in place and in one step; True if there were any.

    The function takes float32 only. Each float16 number is a float32 number too: nothing is rounded.
    """
    import mxnet as mx

    try:
        values = mx.nd.load(str(params))
    except mx.MXNetError as error:
        raise CorruptedError(f"{PARAMS} holds no parameters that MXNet can read. Check its source.") from error
    if not isinstance(values, dict) or all(value.dtype is np.float32 for value in values.values()):
        return False
    part = Path(params).with_name(f"{Path(params).name}.wide.part")
    needed = sum(4 * value.size for value in values.values())
    if needed > shutil.disk_usage(part.parent).free:
        raise OSError(errno.ENOSPC, f"the widened parameters need {megabytes(needed)}")
    try:
        mx.nd.save(str(part), {name: value.astype("float32") for name, value in values.items()})
    except mx.MXNetError as error:
        raise ModelError(f"{part} could not be written: {str(error).strip().splitlines()[0]}") from error
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(params)
    return True


def read_record(folder: Path) -> dict:
    try:
        record = json.loads((folder / RECORD).read_text())
        return record if {"source", "vouched", "sums"} <= record.keys() else {}
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
        vouched=record.get("vouched", f"SHA-256 as in {MANIFEST}"),
        labels=read_labels(folder / SYNSET),
        sums=sums,
    )
