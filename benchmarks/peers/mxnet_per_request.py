"""Peer 1: the original lab's way, on Python 3: MXNet is imported, and each request loads and binds the model."""

import os
import tempfile
from pathlib import Path

import mxnet as mx

from . import common

SYMBOL, PARAMS, SYNSET = "model-symbol.json", "model-0000.params", "model-synset.txt"


def handler(event, context):
    folder = Path(tempfile.gettempdir()) / f"model-{os.getpid()}"
    if not folder.exists():  # the original kept the files, too, and loaded them each time
        folder.mkdir()
        for name, data in common.download(SYMBOL, PARAMS, SYNSET).items():
            (folder / name).write_bytes(data)
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(folder / "model"), 0)
    module = mx.mod.Module(symbol=symbol, context=mx.cpu(), label_names=None)
    module.bind(for_training=False, data_shapes=[("data", (1, 3, 224, 224))], label_shapes=module._label_shapes)
    module.set_params(arguments, auxiliary, allow_missing=True)
    batch = mx.io.DataBatch([mx.nd.array(common.opencv_input(common.picture(event)))])
    module.forward(batch, is_train=False)
    probabilities = module.get_outputs()[0].asnumpy()[0]
    return common.answer(probabilities, common.labels((folder / SYNSET).read_bytes()))
