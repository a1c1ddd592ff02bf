"""Write a trained network as the model store's files: symbol, float16 parameters, synset, SHA-256 manifest."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import mxnet as mx
import numpy as np

from workshop import models

LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


def to_float16(values: Mapping[str, mx.nd.NDArray]) -> dict[str, mx.nd.NDArray]:
    """Round parameters to float16: half the bytes.

    Raises ValueError for a value that float16 cannot hold (beyond 65,504, or not a number).
    """
    rounded = {}
    for name, value in values.items():
        largest = float(np.abs(value.asnumpy()).max())
        if not largest <= LARGEST_FLOAT16:
            raise ValueError(
                f"{name} holds {largest:g}, and float16 ends at {LARGEST_FLOAT16:g}: this model must stay float32"
            )
        rounded[name] = value.astype("float16")
    return rounded


def export_model(
    folder: Path,
    symbol: mx.sym.Symbol,
    arguments: Mapping[str, mx.nd.NDArray],
    auxiliary: Mapping[str, mx.nd.NDArray],
    synset: Sequence[str],
    half: bool = True,
) -> Path:
    """Write the three files of the model store and their `SHA256SUMS` into `folder`, replacing older ones.

    `symbol`: the network for inference (no label smoothing). `arguments`, `auxiliary`: float32 parameters as
    `Module.get_params` returns them; stored as float16 unless `half` is False. `synset`: one line per class,
    `n02102040 English springer, …`, in the order of the outputs. The same weights always give the same bytes.

    Raises ValueError when names or the number of classes do not fit the symbol, or float16 cannot hold a value.
    """
    wanted = [name for name in symbol.list_arguments() if name not in ("data", "softmax_label")]
    if set(wanted) != set(arguments) or set(symbol.list_auxiliary_states()) != set(auxiliary):
        raise ValueError("the parameters are not those of the symbol: export the module that was trained with it")
    classes = arguments[wanted[-1]].shape[0]
    if len(synset) != classes:
        raise ValueError(f"the network has {classes} classes and the synset {len(synset)} lines")
    values = {f"arg:{name}": arguments[name] for name in wanted}
    values |= {f"aux:{name}": auxiliary[name] for name in symbol.list_auxiliary_states()}
    stored = to_float16(values) if half else values
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    symbol.save(str(folder / models.SYMBOL))
    mx.nd.save(str(folder / models.PARAMS), stored)
    (folder / models.SYNSET).write_text("".join(f"{line}\n" for line in synset))
    (folder / models.INT8_SYMBOL).unlink(missing_ok=True)  # its ranges were measured on the weights that were here
    models.write_manifest(folder)
    return folder
