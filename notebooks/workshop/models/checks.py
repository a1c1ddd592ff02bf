"""Whether a model's files belong together, and whether the function can serve them."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np

from predict.description import NOTHING_SAID, Description
from predict.fitting import MAX_SIDE, MIN_SIDE
from workshop.models import about, acceptance
from workshop.models.files import (
    ABOUT,
    INT8_SYMBOL,
    PARAMS,
    SYMBOL,
    SYNSET,
    CorruptedError,
    ModelError,
    megabytes,
    read_labels,
)


def check_structure(folder: Path) -> list[str]:
    """Check that symbol, params and synset belong together, and return the labels.

    The symbol must parse, every parameter it names must be there with the shape that an input of the model's size asks
    for, and the last layer must have as many rows as there are labels. Then the function's own predictor must give
    probabilities (`workshop.models.acceptance`), for each symbol. Raises CorruptedError, ModelError.
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
    size = about.input_size(folder)
    if not MIN_SIDE <= size <= MAX_SIDE:
        raise ModelError(
            f"{SYMBOL} takes images of {size} × {size} pixels, the function prepares {MIN_SIDE} to {MAX_SIDE} a "
            "side. Give a network for those."
        )
    description(folder)
    arguments, outputs, auxiliary = symbol.infer_shape(data=(1, 3, size, size))
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
    for name in (SYMBOL, INT8_SYMBOL):
        if (folder / name).is_file():
            acceptance.accept(folder, size, name)
    return labels


def description(folder: Path) -> Description:
    """What a model says of itself, as the function understands it. Raises ModelError where it does not."""
    path = Path(folder) / ABOUT
    if not path.is_file():
        return NOTHING_SAID
    try:
        return Description.read(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path} does not serve: {error}. Convert or fetch the model again.") from error


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
