"""What the appendix notebook needs to train: images in memory, augmentation, checkpoints that survive a kill."""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import mxnet as mx
import numpy as np

from workshop.progress import progress

INPUT_SIZE = 224


def list_split(folder: Path, wnids: Sequence[str]) -> tuple[list[Path], np.ndarray]:
    """The pictures of one split, `folder/<wnid>/*.JPEG`, in a fixed order, and labels int32 (N,) that index `wnids`.

    Raises FileNotFoundError when a class has no pictures.
    """
    files, labels = [], []
    for label, wnid in enumerate(wnids):
        found = sorted(Path(folder, wnid).glob("*.JPEG"))
        if not found:
            raise FileNotFoundError(f"no *.JPEG in {Path(folder, wnid)}: expected one folder of images per class")
        files += found
        labels += [label] * len(found)
    return files, np.array(labels, np.int32)


def read_images(files: Sequence[Path], description: str = "decode") -> np.ndarray:
    """Decode pictures into memory, squashed to the network's input size: uint8 (N, 224, 224, 3), RGB.

    150 kB each, so 1.4 GB for Imagenette's training split. Raises ValueError for a file that OpenCV cannot read.
    """
    images = np.empty((len(files), INPUT_SIZE, INPUT_SIZE, 3), np.uint8)

    def decode(index):
        picture = cv2.imread(str(files[index]))
        if picture is None:
            raise ValueError(f"{files[index]} does not decode: delete it, or fetch the images again")
        if picture.shape[:2] != (INPUT_SIZE, INPUT_SIZE):
            picture = cv2.resize(picture, (INPUT_SIZE, INPUT_SIZE), interpolation=cv2.INTER_AREA)
        images[index] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in progress(pool.map(decode, range(len(files))), total=len(files), desc=description, unit="image"):
            pass
    return images


@dataclass(frozen=True)
class Epoch:
    """One pass over the pictures: `size` of the views in pixels, `min_area` (0 to 1] the least share a view keeps."""

    size: int
    min_area: float


def plan(schedule: Sequence[Sequence[float]]) -> list[Epoch]:
    """The epochs of a schedule of (pixels, epochs, least share of the picture in a view)."""
    return [Epoch(int(size), float(min_area)) for size, epochs, min_area in schedule for _ in range(int(epochs))]


def one_cycle(steps: int, peak: float, warm_up: float = 0.15) -> mx.lr_scheduler.LRScheduler:
    """The learning rate of `steps` updates: up in a line from peak / 20 during `warm_up`, down to 0 as half a cosine.

    After Smith and Topin, https://arxiv.org/abs/1708.07120, and Loshchilov and Hutter, https://arxiv.org/abs/1608.03983.
    """
    return mx.lr_scheduler.CosineScheduler(
        steps, base_lr=peak, final_lr=0, warmup_steps=int(steps * warm_up), warmup_begin_lr=peak / 20
    )


def augment(image: np.ndarray, size: int, min_area: float, rng: np.random.Generator) -> np.ndarray:
    """A random view of one image: resized crop, mirror, brightness, contrast and saturation.

    `image`: uint8 (H, W, 3). `min_area` (0 to 1]: the least share of the picture that the crop keeps; its aspect ratio
    is between 3:4 and 4:3 (https://arxiv.org/abs/1409.4842). Returns float32 (3, size, size), 0 to 255.
    """
    height, width = image.shape[:2]
    area, ratio = rng.uniform(min_area, 1), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    crop_w = min(width, round(width * np.sqrt(area * ratio)))
    crop_h = min(height, round(height * np.sqrt(area / ratio)))
    top, left = rng.integers(height - crop_h + 1), rng.integers(width - crop_w + 1)
    view = image[top : top + crop_h, left : left + crop_w]
    view = cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA if crop_w > size else cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        view = view[:, ::-1]
    view = view.astype(np.float32)
    # As float32: numbers of float64 make the view float64 from NumPy 2 on, and other values (NEP 50).
    brightness, contrast, saturation = rng.uniform(0.7, 1.3, 3).astype(np.float32)
    grey = view.mean(axis=2, keepdims=True)
    view = grey + (view - grey) * saturation
    mean = view.mean()
    view = (mean + (view - mean) * contrast) * brightness
    return np.clip(view, 0, 255).transpose(2, 0, 1)


def batches(
    images: np.ndarray, labels: np.ndarray, batch_size: int, size: int, min_area: float, rng: np.random.Generator
) -> Iterator[mx.io.DataBatch]:
    """Yield one epoch of shuffled, augmented batches, the next one prepared while this one trains.

    The last images that do not fill a batch are left out; the next epoch's shuffle brings them in.
    """
    order = rng.permutation(len(images))[: len(images) // batch_size * batch_size].reshape(-1, batch_size)

    def prepare(rows):
        views = np.stack([augment(images[row], size, min_area, rng) for row in rows])
        return mx.io.DataBatch([mx.nd.array(views)], [mx.nd.array(labels[rows])])

    with ThreadPoolExecutor(1) as pool:
        pending = pool.submit(prepare, order[0])
        for rows in order[1:]:
            ready, pending = pending.result(), pool.submit(prepare, rows)
            yield ready
        yield pending.result()


def plain_batches(images: np.ndarray, labels: np.ndarray, batch_size: int) -> Iterator[mx.io.DataBatch]:
    """Yield whole batches of the pictures as they are, as the function would prepare them."""
    for start in range(0, len(images) - batch_size + 1, batch_size):
        rows = slice(start, start + batch_size)
        views = images[rows].transpose(0, 3, 1, 2).astype(np.float32)
        yield mx.io.DataBatch([mx.nd.array(views)], [mx.nd.array(labels[rows])])


class Checkpoint:
    """The state of a training after its last whole epoch: weights, optimizer state and history, in one folder.

    `history.json` is replaced last and in one step, and names the epoch whose files are whole, so a kill at any moment
    loses at most the epoch under way.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._history_file = self.folder / "history.json"
        self.history = json.loads(self._history_file.read_text()) if self._history_file.exists() else []

    def check(self, epochs: Sequence[Epoch]) -> None:
        """Raise ValueError when the epochs done are not the first ones of this plan."""
        done = [Epoch(record["size"], record["min_area"]) for record in self.history]
        if done != list(epochs[: len(done)]):
            raise ValueError(
                f"{self.folder} holds a training of another schedule ({len(done)} epochs are done): give the schedule "
                "that it was begun with, or another state_folder to begin anew"
            )

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history)

    def _files(self, epoch):
        return self.folder / f"epoch-{epoch:04d}.params", self.folder / f"epoch-{epoch:04d}.states"

    def save(self, module: mx.mod.Module, record: dict) -> None:
        """Keep the module's weights and optimizer state, add `record` to the history, drop the epoch before."""
        epoch = self.epoch + 1
        params, states = self._files(epoch)
        module.save_params(str(params))
        module.save_optimizer_states(str(states))
        self.history.append(record)
        partial = self._history_file.with_suffix(".part")
        partial.write_text(json.dumps(self.history, indent=1))
        partial.replace(self._history_file)
        for old in self._files(epoch - 1):
            old.unlink(missing_ok=True)

    def params_file(self) -> Path:
        """The weights of the last whole epoch."""
        return self._files(self.epoch)[0]

    def parameters(self) -> tuple[dict, dict]:
        """Arguments and auxiliary states after the last whole epoch, as `Module.get_params` returns them."""
        kinds: dict[str, dict[str, mx.nd.NDArray]] = {"arg": {}, "aux": {}}
        for name, value in mx.nd.load(str(self.params_file())).items():
            kind, plain = name.split(":", 1)
            kinds[kind][plain] = value
        return kinds["arg"], kinds["aux"]

    def restore(self, module: mx.mod.Module) -> None:
        """Load the last weights and, where the module has an optimizer, its state. Does nothing before epoch 1."""
        if not self.epoch:
            return
        params, states = self._files(self.epoch)
        module.load_params(str(params))
        if module.optimizer_initialized:
            module.load_optimizer_states(str(states))


def make_module(
    symbol: mx.sym.Symbol,
    batch_size: int,
    size: int,
    optimizer_params: dict | None = None,
    checkpoint: Checkpoint | None = None,
) -> mx.mod.Module:
    """Bind a Module for batches of float32 (batch_size, 3, size, size), with the checkpoint's state, if there is any.

    With `optimizer_params` it can train, by Nesterov's accelerated gradient; without, it can only predict. Weights
    start as He et al. have it, https://arxiv.org/abs/1502.01852. The input's own scale and shift (`bn_data_gamma`,
    `bn_data_beta`) stay 1 and 0: that spares the gradient of the first convolution's input.
    """
    trains = optimizer_params is not None
    module = mx.mod.Module(symbol, context=mx.cpu(), fixed_param_names=["bn_data_gamma", "bn_data_beta"])
    module.bind([("data", (batch_size, 3, size, size))], [("softmax_label", (batch_size,))], for_training=trains)
    module.init_params(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2))
    if trains:
        module.init_optimizer(kvstore=None, optimizer="nag", optimizer_params=optimizer_params)
    if checkpoint:
        checkpoint.restore(module)
    return module


def predict(module: mx.mod.Module, images: np.ndarray, batch_size: int) -> np.ndarray:
    """Probabilities float32 (N, classes) for uint8 (N, 224, 224, 3) images, as the function would prepare them."""
    results = []
    for start in progress(range(0, len(images), batch_size), desc="evaluate", unit="batch"):
        rows = images[start : start + batch_size].transpose(0, 3, 1, 2).astype(np.float32)
        padded = np.zeros((batch_size, *rows.shape[1:]), np.float32)
        padded[: len(rows)] = rows
        module.forward(mx.io.DataBatch([mx.nd.array(padded)]), is_train=False)
        results.append(module.get_outputs()[0].asnumpy()[: len(rows)])
    return np.concatenate(results)


def predict_at(symbol: mx.sym.Symbol, parameters: tuple[dict, dict], images: np.ndarray, batch_size: int) -> np.ndarray:
    """As `predict`, by a network bound for the purpose. `parameters`: as `Module.get_params` returns them."""
    module = make_module(symbol, batch_size, INPUT_SIZE)
    module.set_params(*parameters)
    return predict(module, images, batch_size)


def input_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of each channel over all pixels of uint8 (N, H, W, 3): float64 (3,) each, levels 0 to 255."""
    counts = np.stack([np.bincount(images[..., channel].ravel(), minlength=256) for channel in range(3)])
    shares = counts / counts.sum(axis=1, keepdims=True)
    levels = np.arange(256)
    mean = shares @ levels
    return mean, shares @ levels**2 - mean**2


def with_input_statistics(parameters: tuple[dict, dict], mean: np.ndarray, variance: np.ndarray) -> tuple[dict, dict]:
    """The parameters with the input's normalisation set to measured values, float (3,) each.

    MXNet takes up running averages in the backward pass, which does not reach `bn_data`: it has nothing to train. Left
    alone it would keep mean 0 and variance 1, and the network, trained on normalised pictures, would be given raw ones.
    """
    arguments, auxiliary = parameters
    measured = {"bn_data_moving_mean": mx.nd.array(mean), "bn_data_moving_var": mx.nd.array(variance)}
    return arguments, {**auxiliary, **measured}


def settle_batch_norm(
    symbol: mx.sym.Symbol, parameters: tuple[dict, dict], image_batches: Sequence[mx.io.DataBatch], batch_size: int
) -> tuple[dict, dict]:
    """Re-estimate the other batch normalisations' means and variances at 224 pixels; the weights stay as they are.

    The running averages of training are of smaller, distorted views ("precise BN" in Wu and Johnson,
    https://arxiv.org/abs/2105.07576). MXNet takes each batch up with weight 0.1, in the backward pass; the mean of that
    running average over the second half of the batches is kept. Returns arguments and auxiliary states.
    """
    # The backward pass goes as far as somebody asks for a gradient: the first convolution is below all of them.
    executor = symbol.simple_bind(
        mx.cpu(), data=(batch_size, 3, INPUT_SIZE, INPUT_SIZE), grad_req={"conv0_weight": "write"}
    )
    executor.copy_params_from(*parameters)
    seen = []
    for batch in progress(image_batches, desc="settle", unit="batch"):
        executor.forward(is_train=True, data=batch.data[0], softmax_label=batch.label[0])
        executor.backward()
        # Reading an auxiliary state does not wait for the backward pass that writes it.
        mx.nd.waitall()
        seen.append({name: value.asnumpy() for name, value in executor.aux_dict.items()})
    late = seen[len(seen) // 2 :]
    settled = {name: mx.nd.array(np.mean([one[name] for one in late], axis=0)) for name in late[0]}
    kept = {name: value for name, value in parameters[1].items() if name.startswith("bn_data_")}
    return parameters[0], {**settled, **kept}
