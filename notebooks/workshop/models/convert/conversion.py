"""One file of another framework's into a model's files, verified."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from workshop.choices import FOREIGN
from workshop.models import about, acceptance
from workshop.models.convert import architectures, graph, labels, preprocessing, weights
from workshop.models.convert.errors import ConversionError
from workshop.models.convert.importer import Importer
from workshop.models.convert.preprocessing import Preprocessing
from workshop.models.convert.proof import LIMIT, Proof, analysed_picture, verify
from workshop.models.files import ABOUT, FILES, INT8_SYMBOL, MANIFEST, SYNSET, save, sha256, write_manifest

SUFFIXES = FOREIGN
PREPROCESSING_FILES = ("preprocessing.json", "config.json", "preprocessor_config.json")
BESIDE = (*PREPROCESSING_FILES, *labels.BESIDE)


@dataclass(frozen=True)
class Converted:
    """The folder of the model's files, what it says of itself, and the proof; `remarks`: what a person should hear."""

    folder: Path
    about: dict[str, Any]
    proof: Proof
    remarks: list[str]


@dataclass(frozen=True)
class _Source:
    model: onnx.ModelProto
    architecture: str
    size: int | None
    found: Preprocessing


def _read(path: Path, architecture: str | None) -> _Source:
    if path.suffix == ".onnx":
        model = graph.load(path)
        graph.opset_of(model)
        size = graph.fixed_size(graph.image_input(model)[1]) or None
        named = architecture or f"ONNX by {model.producer_name or 'an unnamed tool'}"
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        return _Source(model, named, size, preprocessing.from_onnx(metadata))
    if path.suffix not in FOREIGN:
        raise ConversionError(f"{path.name}: expected a file that ends with {', '.join(SUFFIXES)}.")
    read = weights.read_weights(path)
    drawn = architectures.draw(read.tensors, architecture)
    return _Source(drawn.model, drawn.architecture, drawn.size, preprocessing.from_onnx(read.metadata))


def _preprocessing(path: Path, given: Preprocessing | None, source: _Source) -> Preprocessing:
    """What is given, else what the file says, else what lies beside it; the size that the network fixes wins."""
    found = (given or Preprocessing()).filled(source.found)
    for name in PREPROCESSING_FILES:
        beside = path.with_name(name)
        if beside.is_file():
            found = found.filled(preprocessing.from_json(beside.read_text(encoding="utf-8"), name))
    fixed = source.size
    if fixed and found.size not in (None, fixed) and path.suffix == ".onnx":
        raise ConversionError(f"the network takes {fixed} × {fixed} pixels, not {found.size} × {found.size}.")
    if found.size is None and fixed:
        found = Preprocessing(size=fixed).filled(found)
    return preprocessing.complete(found)


def convert(
    path: Path,
    folder: Path,
    *,
    given: Preprocessing | None = None,
    classes: str | Path | Sequence[str] | None = None,
    architecture: str | None = None,
    name: str | None = None,
    licence: str | None = None,
    origin: str | None = None,
    more: dict[str, Any] | None = None,
) -> Converted:
    """Convert `path` (.onnx, .safetensors, .pth, .pt, .bin) into the files of a model in `folder`, and verify them.

    `given`: how pictures are prepared, as far as the file and what lies beside it do not say. `classes`: labels, a file
    of them, or `imagenet`. `origin`: where the file came from, for model.json, and `more`: further entries there.
    Raises ModelError (ConversionError mostly); `folder` then is as it was.
    """
    path, folder = Path(path), Path(folder)
    if not path.is_file():
        raise ConversionError(f"no file {path}. Give a file that ends with {', '.join(SUFFIXES)}.")
    config = labels.read_config(path)
    source = _read(path, architecture or config.get("architecture"))
    wanted = _preprocessing(path, given, source)
    is_last = graph.is_channels_last(graph.image_input(source.model)[1])
    analysed = graph.analyse(graph.fix_shape(source.model, wanted.size or 0), analysed_picture(wanted, is_last))
    if isinstance(classes, str | Path | None):
        named, named_by = labels.find(classes, path, config)
    else:
        named, named_by = list(classes), "given"
    count = int(np.prod(analysed.shape(analysed.output)))
    if len(named) != count:
        raise ConversionError(
            f"the network has {count} classes, the labels are {len(named)} ({named_by}). Give one for each, in the "
            "order of the network's outputs."
        )
    made = Importer(analysed, wanted)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        staging = Path(scratch)
        made.network.save(made.logits, staging)
        save(staging / SYNSET, "".join(f"{label}\n" for label in named).encode())
        proof = verify(made, staging)
        acceptance.accept(staging, wanted.size or 0)
        described = _describe(path, name or folder.name, source, wanted, len(named), proof, config)
        described["licence"] = licence or described["licence"]
        described["source"] |= {"from": origin} if origin else {}
        about.write(staging, described | (more or {}))
        write_manifest(staging)
        _move(staging, folder)
    remarks = [f"images: {wanted.origin}", f"classes: {named_by}"]
    if made.ending == "none":
        remarks.append("the network ends in class scores: a softmax was added")
    return Converted(folder, about.read(folder), proof, remarks)


def _describe(
    path: Path, name: str, source: _Source, wanted: Preprocessing, classes: int, proof: Proof, config: dict
) -> dict[str, Any]:
    return {
        "name": name,
        "architecture": source.architecture,
        "classes": classes,
        "input": wanted.as_dict(),
        "precisions": ["float32"],
        "licence": (config.get("pretrained_cfg") or {}).get("license") or config.get("license") or about.NOT_STATED,
        "source": {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)},
        "conversion": {
            "version": about.CONVERTER, "reference": proof.reference, "pictures": proof.pictures,
            "largest_difference": float(f"{proof.difference:.2g}"), "limit": LIMIT,
        },
        "results": about.NOT_MEASURED,
        "not_for": "decisions about people, safety, health or money; anything that its maker does not allow",
    }  # fmt: skip


def _move(staging: Path, folder: Path) -> None:
    """The files into their place, the manifest last: without one no reader takes them."""
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    (folder / INT8_SYMBOL).unlink(missing_ok=True)  # of a network that was here before
    for file in (*FILES, ABOUT, MANIFEST):
        (staging / file).replace(folder / file)
