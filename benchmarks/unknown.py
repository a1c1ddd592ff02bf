"""How well the practice model tells pictures of none of its classes, by method; and the calibration that it ships.

    python -m benchmarks.unknown --data <Imagenette> --pictures <folder of folders> [--kept outputs.npz] [--write]

Known pictures are Imagenette's validation set. One half fits what a method learns, the other sets each threshold, so
that 95 % of it are kept. Unknown pictures are drawn (`unknown_pictures`) or lie in folders, one for each kind. Nothing
is tuned on the kinds that it is measured on: they are grouped, and the figures of a group come from a fit without it.
`--write` fits the shipped method once more, with all kinds, and writes it into the model's model.json.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.unknown_pictures import drawn, taken
from predict.predictor import Predictor
from predict.rejection import Rejection
from workshop.models import about, checks, files, preparation

RESULTS = Path(__file__).with_name("unknown.json")
LOGITS = "fc1"  # the dense layer, which reads the means of LAST
LAST = "relu1"
READ = {"stage2_unit1_relu1": 64, "stage3_unit1_relu1": 128, "stage4_unit1_relu1": 256, LAST: 512}  # layers, channels
LINEAR = {  # the linear methods, with how many of these layers each reads, the last ones
    "linear, last layer": 1,
    "linear, two layers": 2,
    "linear, three layers": 3,
    "linear, four layers": 4,
}
SHIPPED = "linear, three layers"
KEPT = 0.95
SHRINKAGE = 0.1  # of the linear methods, in units of the features' variance
RIDGE = 0.01  # of the covariance of the distance, as a part of its mean variance
DRAWN, TAKEN = 30, 60  # pictures of a kind; about as many of one that was taken
GROUPS = {  # kinds that are alike are left out together
    "drawn by this script": ("drawn",),
    "photographs of things and animals": ("category-photos", "educational"),
    "drawings of things": ("word-pictures",),
    "paintings": ("paintings",),
    "photographs of all sorts": ("desktops", "scikit-image"),
    "photographs cut out, on white": ("stamps",),
}
Score = Callable[[np.ndarray], np.ndarray]  # features (N, channels of READ) to scores (N,), more for known ones


def outputs(pictures: list[bytes]) -> np.ndarray:
    """The features float32 (N, channels) of READ for each picture, from the function's own predictor."""
    showing = Rejection(tuple(READ), (), 0.0, 0.0).shown_by((files.PRACTICE / files.SYMBOL).read_bytes())
    with tempfile.TemporaryDirectory() as folder:
        checks.widen(Path(shutil.copy(files.PRACTICE / files.PARAMS, folder)))
        params = Path(folder, files.PARAMS).read_bytes()
    model = files.open_model(files.PRACTICE)
    with Predictor(showing, params, model.labels) as predictor:
        return np.array([predictor.run(preparation.prepared(model, data))[1] for data in pictures], np.float32)


def known(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Features and classes of the validation set."""
    paths = sorted((data / "val").glob("*/*.JPEG"))
    wnids = sorted({path.parent.name for path in paths})
    classes = np.array([wnids.index(path.parent.name) for path in paths])
    return outputs([path.read_bytes() for path in paths]), classes


def channels(layers: int) -> int:
    """How many channels the last so many layers of READ have."""
    return sum(list(READ.values())[-layers:])


class Logits:
    """The last dense layer: logits (N, 10) of the last layer's features (N, 512)."""

    def __init__(self) -> None:
        import mxnet as mx

        values = mx.nd.load(str(files.PRACTICE / files.PARAMS))
        self.weight, self.bias = (
            values[f"arg:{LOGITS}_{name}"].astype("float32").asnumpy() for name in ("weight", "bias")
        )

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return features @ self.weight.T + self.bias


def log_sum(logits: np.ndarray) -> np.ndarray:
    """log(sum(exp)) of each row."""
    most = logits.max(1)
    return most + np.log(np.exp(logits - most[:, None]).sum(1))


def temperature(logits: np.ndarray, classes: np.ndarray) -> float:
    """What to divide logits by for the least cross entropy (Guo et al. 2017, https://arxiv.org/abs/1706.04599)."""

    def loss(divisor: float) -> float:
        scaled = logits / divisor
        return float((log_sum(scaled) - scaled[np.arange(len(classes)), classes]).mean())

    return float(min(np.arange(0.3, 2.01, 0.01), key=loss))


def methods(
    logits: Logits, features: np.ndarray, classes: np.ndarray, others: list[np.ndarray], divisor: float
) -> dict[str, Score]:
    """Each method, fitted on known features with their classes, the linear ones on groups of unknown ones, too."""
    last = features[:, -READ[LAST] :]
    means = np.stack([last[classes == one].mean(0) for one in range(classes.max() + 1)])
    residual = last - means[classes]
    covariance = residual.T @ residual / len(residual)
    covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    whiten = np.linalg.cholesky(np.linalg.inv(covariance))
    white = means @ whiten

    def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        return -np.min([((points - centre) ** 2).sum(1) for centre in centres], axis=0)

    def most_probable(points: np.ndarray, by: float) -> np.ndarray:
        scaled = logits(points) / by
        return np.exp(scaled.max(1) - log_sum(scaled))

    by_last: dict[str, Score] = {
        "maximum probability": lambda points: most_probable(points, 1.0),
        "maximum probability, temperature": lambda points: most_probable(points, divisor),
        "energy": lambda points: log_sum(logits(points)),
        "energy, temperature": lambda points: log_sum(logits(points) / divisor),
        "nearest class mean": lambda points: nearest(points, means),
        "Mahalanobis": lambda points: nearest(points @ whiten, white),
    }
    found: dict[str, Score] = {}
    for name, score in by_last.items():
        found[name] = partial(of_the_last, score)
    for name, layers in LINEAR.items():
        found[name] = partial(weighted, *linear(features, others, layers))
    return found


def of_the_last(score: Score, points: np.ndarray) -> np.ndarray:
    return score(points[:, -READ[LAST] :])


def weighted(weights: np.ndarray, bias: float, points: np.ndarray) -> np.ndarray:
    return points[:, -len(weights) :] @ weights + bias


def linear(features: np.ndarray, others: list[np.ndarray], layers: int) -> tuple[np.ndarray, float]:
    """Weights and bias of the least squares that tell known features (1) from groups of others (-1).

    `layers`: how many of READ it reads, the last ones. All others together weigh as much as the known ones, and one
    group of them as much as another.
    """
    both = np.concatenate([features, *others]).astype(np.float64)[:, -channels(layers) :]
    target = np.repeat([1.0, -1.0], [len(features), sum(map(len, others))])
    share = np.concatenate([np.full(len(rows), 0.5 / count / len(rows)) for rows, count in
                            [(features, 1), *((group, len(others)) for group in others)]])  # fmt: skip
    mean, deviation = both.mean(0), both.std(0) + 1e-6
    scaled = (both - mean) / deviation
    middle = share @ target
    gram = scaled.T @ (share[:, None] * scaled) + SHRINKAGE * np.eye(scaled.shape[1])
    weights = np.linalg.solve(gram, scaled.T @ (share * (target - middle))) / deviation
    return weights, float(middle - mean @ weights)


def groups(unknown: dict[str, np.ndarray], without: str = "") -> list[np.ndarray]:
    """The features of each group but one; a kind of no group is one of its own."""
    rows: dict[str, list[np.ndarray]] = {}
    for kind, features in unknown.items():
        name = next((name for name, prefixes in GROUPS.items() if kind.startswith(prefixes)), kind)
        if name != without:
            rows.setdefault(name, []).append(features)
    return [np.concatenate(kinds) for kinds in rows.values()]


def measure(features: np.ndarray, classes: np.ndarray, unknown: dict[str, np.ndarray]) -> dict:
    """What each method refuses of each kind, at 95 % of the known pictures kept."""
    logits = Logits()
    fitting, holding = (slice(start, None, 2) for start in (0, 1))
    divisor = temperature(logits(features[fitting, -READ[LAST] :]), classes[fitting])
    refused: dict[str, dict[str, float]] = {}
    for group, prefixes in GROUPS.items():
        left_out = [kind for kind in unknown if kind.startswith(prefixes)]
        others = groups(unknown, without=group)
        for name, score in methods(logits, features[fitting], classes[fitting], others, divisor).items():
            threshold = np.quantile(score(features[holding]), 1 - KEPT)
            for kind in left_out:
                share = float((score(unknown[kind]) < threshold).mean())
                refused.setdefault(name, {})[kind] = round(share, 3)
    return {
        "known": {"pictures": len(features), "kept": KEPT, "temperature": round(divisor, 2)},
        "unknown": {kind: len(rows) for kind, rows in unknown.items()},
        "refused": {
            name: {
                "mean_of_kinds": round(float(np.mean(list(kinds.values()))), 3),
                "of_all_pictures": round(
                    sum(kinds[kind] * len(unknown[kind]) for kind in kinds) / sum(map(len, unknown.values())), 3
                ),
                "by_kind": kinds,
            }
            for name, kinds in refused.items()
        },
    }


def calibration(features: np.ndarray, unknown: dict[str, np.ndarray], results: dict) -> dict:
    """`rejection` of model.json: the shipped method, fitted with every kind."""
    weights, bias = linear(features[::2], groups(unknown), LINEAR[SHIPPED])
    rounded = np.array([float(f"{weight:.4g}") for weight in weights])
    scores = features[1::2, -len(rounded) :] @ rounded + round(bias, 4)
    return {
        "method": "linear",
        "layers": list(READ)[-LINEAR[SHIPPED] :],
        "threshold": round(float(np.quantile(scores, 1 - KEPT)), 4),
        "bias": round(bias, 4),
        "known_kept": KEPT,
        "known_pictures": len(features),
        "unknown_refused": results["refused"][SHIPPED]["mean_of_kinds"],
        "temperature": results["known"]["temperature"],
        "measured_by": "benchmarks/unknown.json",
        "weights": rounded.tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.unknown", description="Measure what tells unknown pictures.")
    parser.add_argument("--data", type=Path, required=True, help="Imagenette: a folder with val/<wnid>/*.JPEG")
    parser.add_argument("--pictures", type=Path, help="a folder of folders of pictures, each of one kind")
    parser.add_argument("--kept", type=Path, help="a file that keeps the network's outputs for another run (.npz)")
    parser.add_argument("--write", action="store_true", help="write the calibration into the practice model")
    chosen = parser.parse_args()
    if chosen.kept and chosen.kept.is_file():
        kept = dict(np.load(chosen.kept))
    else:
        kept = dict(zip(("known", "classes"), known(chosen.data), strict=True))
    pictures = drawn(DRAWN) | (taken(chosen.pictures, TAKEN) if chosen.pictures else {})
    for kind in pictures.keys() - kept.keys():
        kept[kind] = outputs(pictures[kind])
    if chosen.kept:
        np.savez(chosen.kept, **kept)
    features, classes = kept.pop("known"), kept.pop("classes")
    unknown = {kind: kept[kind] for kind in pictures}
    results = measure(features, classes, unknown)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for name, refused in results["refused"].items():
        print(f"{name:34} {refused['mean_of_kinds']:.3f} of a kind, {refused['of_all_pictures']:.3f} of all pictures")
    if chosen.write:
        said = about.read(files.PRACTICE)
        about.write(files.PRACTICE, said | {"rejection": calibration(features, unknown, results)})
        files.write_manifest(files.PRACTICE)


if __name__ == "__main__":
    main()
