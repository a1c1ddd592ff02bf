"""Peer 3: ONNX Runtime, session made once; float32, or int8 where `PEER_NETWORK` names that file."""

import functools
import os

import onnxruntime

from . import common

NETWORK = os.environ.get("PEER_NETWORK", "resnet-18.onnx")
SYNSET = "model-synset.txt"


@functools.cache
def _model():
    files = common.download(NETWORK, SYNSET)
    return bind(files[NETWORK]), common.labels(files[SYNSET])


def bind(network: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


def handler(event, context):
    image = common.pillow_input(common.picture(event))
    session, names = _model()
    return common.answer(predict(session, image), names)


def predict(session, image):
    return session.run(None, {"data": image})[0][0]
