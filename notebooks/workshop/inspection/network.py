"""A fetched model in MXNet's Module API: as notebook 02 loads it cell by cell, for the notebooks after it."""

import mxnet as mx
import numpy as np

from workshop.models import STEM, ModelFiles, preparation


class Network:
    """`symbol`, `arguments` and `auxiliary` as `load_checkpoint` gives them, bound for predictions."""

    def __init__(self, files: ModelFiles) -> None:
        """Raises ModelError for a fitting that the function does not know, and MXNetError for damaged files."""
        size = preparation.fitting(files).size
        self.symbol, self.arguments, self.auxiliary = mx.model.load_checkpoint(str(files.folder / STEM), 0)
        # A network that ends as it was trained wants a label beside each image, and ignores it.
        self._targets = [name for name in self.symbol.list_arguments() if name.endswith("label")]
        self._module = mx.mod.Module(self.symbol, label_names=self._targets)
        labels = [(name, (1,)) for name in self._targets]
        self._module.bind([("data", (1, 3, size, size))], labels, for_training=False)
        self._module.set_params(self.arguments, self.auxiliary)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Probabilities float32 (N, classes) of preprocessed images, float32 (N, 3, size, size)."""
        labels = [mx.nd.zeros(len(images)) for _ in self._targets]
        self._module.forward(mx.io.DataBatch([mx.nd.array(images)], labels), is_train=False)
        return self._module.get_outputs()[0].asnumpy()
