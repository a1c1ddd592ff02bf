"""Weights in PyTorch's names and shapes, made from a name's own seed, and what PyTorch's networks say with them.

`pytorch_answers.json` was written by `python -m tests.cases.pytorch` in an environment with torch and torchvision: the
class scores of torchvision's networks with these weights, evaluation mode, for `picture()`. The tests hold the
converter's drawings of the same networks to them, without torch.
"""

import json
import zlib
from pathlib import Path

import numpy as np

ANSWERS = Path(__file__).with_name("pytorch_answers.json")
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
CLASSES = 10


def picture() -> np.ndarray:
    """float32 (1, 3, 64, 64), as a network takes it."""
    return np.random.default_rng(7).normal(size=(1, 3, 64, 64)).astype(np.float32)


def values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers of the tensor `name`: of a size that keeps a network's signals alive."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.array(1, np.int64)
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) > 1:
        return (rng.normal(size=shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
    is_scale = name.endswith(".weight")
    return (rng.uniform(0.3, 0.6, shape) if is_scale else rng.normal(size=shape) * 0.1).astype(np.float32)


def resnet(kind: str, classes: int = CLASSES) -> dict[str, np.ndarray]:
    """A ResNet's state dict, in torchvision's names, which timm shares."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, out: int, into: int, side: int) -> None:
        shapes[f"{name}.weight"] = (out, into, side, side)

    def norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (width,)
        shapes[f"{name}.num_batches_tracked"] = ()

    is_bottleneck = kind == "resnet50"
    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    width = 64
    for stage, count in enumerate(BLOCKS[kind]):
        inner = 64 << stage
        outer = inner * 4 if is_bottleneck else inner
        for number in range(count):
            block = f"layer{stage + 1}.{number}"
            sides = [(inner, width, 1), (inner, inner, 3), (outer, inner, 1)]
            if not is_bottleneck:
                sides = [(inner, width, 3), (inner, inner, 3)]
            for index, (out, into, side) in enumerate(sides):
                conv(f"{block}.conv{index + 1}", out, into, side)
                norm(f"{block}.bn{index + 1}", out)
            if number == 0 and width != outer:
                conv(f"{block}.downsample.0", outer, width, 1)
                norm(f"{block}.downsample.1", outer)
            width = outer
    shapes |= {"fc.weight": (classes, width), "fc.bias": (classes,)}
    return {name: values(name, shape) for name, shape in shapes.items()}


def main() -> None:
    import torch
    import torchvision

    found = {}
    for kind in BLOCKS:
        network = getattr(torchvision.models, kind)(num_classes=CLASSES).eval()
        state = {name: torch.from_numpy(values(name, tuple(old.shape))) for name, old in network.state_dict().items()}
        network.load_state_dict(state)
        with torch.no_grad():
            found[kind] = [round(float(score), 6) for score in network(torch.from_numpy(picture()))[0]]
    ANSWERS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
