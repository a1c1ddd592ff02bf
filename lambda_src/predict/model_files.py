"""A model's files in a folder or in the store: their names, and the `SHA256SUMS` that lists them."""

import re

STEM = "model"
SYMBOL = f"{STEM}-symbol.json"
PARAMS = f"{STEM}-0000.params"
SYNSET = f"{STEM}-synset.txt"
INT8_SYMBOL = f"{STEM}-int8-symbol.json"  # optional: the same network over the same parameters, in 8 bits
SYMBOLS = {"float32": SYMBOL, "int8": INT8_SYMBOL}
ABOUT = "model.json"  # optional: what the model says of itself (docs/model-json.md)
MANIFEST = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")


def precision_of(symbol_file: str) -> str:
    """`int8` or `float32`: which arithmetic the symbol of this name computes in."""
    return "int8" if symbol_file.endswith("-int8-symbol.json") else "float32"


def parse_manifest(text: str) -> dict[str, str]:
    """SHA-256 (64 lower-case hexadecimal digits) by file name, of the lines that have sha256sum's form."""
    found = (_LINE.fullmatch(line.rstrip()) for line in text.splitlines())
    return {match[2]: match[1].lower() for match in found if match}
