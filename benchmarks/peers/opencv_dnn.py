"""Peer 4: OpenCV's dnn module on the ONNX file."""

import functools
import os

import cv2
import numpy as np

from . import common

NETWORK, SYNSET = "resnet-18.onnx", "model-synset.txt"


@functools.cache
def _model():
    cv2.setNumThreads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    files = common.download(NETWORK, SYNSET)
    return cv2.dnn.readNetFromONNX(np.frombuffer(files[NETWORK], np.uint8)), common.labels(files[SYNSET])


def handler(event, context):
    image = common.opencv_input(common.picture(event))
    network, names = _model()
    return common.answer(predict(network, image), names)


def predict(network, image):
    network.setInput(image)
    return network.forward()[0]
