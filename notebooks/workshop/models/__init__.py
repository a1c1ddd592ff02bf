"""A model's files: where they come from, how they are verified, and where they lie on this machine."""

from predict.model_files import STEM
from workshop.choices import FOREIGN
from workshop.models.checks import check_structure, widen
from workshop.models.download import download
from workshop.models.fetch import fetch, fetched
from workshop.models.files import (
    ABOUT,
    FETCHED,
    FILES,
    INPUT_SHAPE,
    INT8_SYMBOL,
    MANIFEST,
    PARAMS,
    PRACTICE,
    RECORD,
    SYMBOL,
    SYMBOLS,
    SYNSET,
    CorruptedError,
    ModelError,
    ModelFiles,
    SourceError,
    megabytes,
    open_model,
    parse_manifest,
    read_labels,
    sha256,
    write_manifest,
)
from workshop.models.sources import IMAGENET, MIRRORS, Conversion, Mirror
from workshop.models.sources import title as model_name

__all__ = [
    "ABOUT",
    "FETCHED",
    "FILES",
    "FOREIGN",
    "IMAGENET",
    "INPUT_SHAPE",
    "INT8_SYMBOL",
    "MANIFEST",
    "MIRRORS",
    "PARAMS",
    "PRACTICE",
    "RECORD",
    "STEM",
    "SYMBOL",
    "SYMBOLS",
    "SYNSET",
    "Conversion",
    "CorruptedError",
    "Mirror",
    "ModelError",
    "ModelFiles",
    "SourceError",
    "check_structure",
    "download",
    "fetch",
    "fetched",
    "megabytes",
    "model_name",
    "open_model",
    "parse_manifest",
    "read_labels",
    "sha256",
    "widen",
    "write_manifest",
]
