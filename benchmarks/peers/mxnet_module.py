"""Peer 2: MXNet's Python API done well: the model is loaded once, and the Module bound once."""

import functools
import tempfile
from pathlib import Path

import mxnet as mx

from . import common

SYMBOL, PARAMS, SYNSET = "model-symbol.json", "model-0000.params", "model-synset.txt"


@functools.cache
def _model():
    files = common.download(SYMBOL, PARAMS, SYNSET)
    return bind(files), common.labels(files[SYNSET])


def bind(files: dict[str, bytes]) -> mx.mod.Module:
    symbol = mx.sym.load_json(files[SYMBOL].decode())
    with tempfile.NamedTemporaryFile(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as file:
        file.write(files[PARAMS])
        file.flush()
        values = mx.nd.load(file.name)
    arguments = {name[4:]: value for name, value in values.items() if name.startswith("arg:")}
    auxiliary = {name[4:]: value for name, value in values.items() if name.startswith("aux:")}
    module = mx.mod.Module(symbol, context=mx.cpu(), label_names=None)
    module.bind([("data", (1, 3, 224, 224))], for_training=False)
    module.set_params(arguments, auxiliary, allow_missing=True)
    return module


def handler(event, context):
    image = common.opencv_input(common.picture(event))
    module, names = _model()
    return common.answer(predict(module, image), names)


def predict(module, image):
    module.forward(mx.io.DataBatch([mx.nd.array(image)]), is_train=False)
    return module.get_outputs()[0].asnumpy()[0]
