"""How well the practice model tells pictures of none of its classes, by method; and the calibration that it ships.

    python -m benchmarks.unknown --data <Imagenette> --pictures <folder of folders> [--kept outputs.npz] [--write]

Known pictures are Imagenette's validation set. One half fits what a method learns, the other sets each threshold, so
that 95 % of it are kept. Unknown pictures are drawn (`unknown_pictures`) or lie in folders, one for each kind. Nothing
is tuned on the kinds that it is measured on: they are grouped, and the figures of a group come from a fit without it.
`--write` fits the linear method once more, with all kinds, and writes it into the model's model.json.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.unknown_pictures import drawn, taken
from predict.predictor import Predictor
from predict.rejection import Rejection
from workshop.models import about, checks, files, preparation

RESULTS = Path(__file__).with_name("unknown.json")
LAYER, LOGITS = "flatten0", "fc1"
KEPT = 0.95
SHRINKAGE = 0.03  # of the linear method, in units of the features' variance
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
Score = Callable[[np.ndarray], np.ndarray]  # features (N, 512) to scores (N,), more for known ones


def outputs(pictures: list[bytes]) -> np.ndarray:
    """The last layer's float32 (N, 512) for each picture, from the function's own predictor."""
    showing = Rejection(LAYER, (), 0.0, 0.0).shown_by((files.PRACTICE / files.SYMBOL).read_bytes())
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


class Logits:
    """The last dense layer: logits (N, 10) of features (N, 512)."""

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
    logits: Logits, features: np.ndarray, classes: np.ndarray, others: np.ndarray, divisor: float
) -> dict[str, Score]:
    """Each method, fitted on known features with their classes, the linear one on unknown ones, too."""
    means = np.stack([features[classes == one].mean(0) for one in range(classes.max() + 1)])
    residual = features - means[classes]
    covariance = residual.T @ residual / len(residual)
    covariance += RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    whiten = np.linalg.cholesky(np.linalg.inv(covariance))
    white = means @ whiten
    weights, bias = linear(features, others)

    def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        return -np.min([((points - centre) ** 2).sum(1) for centre in centres], axis=0)

    def most_probable(points: np.ndarray, by: float) -> np.ndarray:
        scaled = logits(points) / by
        return np.exp(scaled.max(1) - log_sum(scaled))

    return {
        "maximum probability": lambda points: most_probable(points, 1.0),
        "maximum probability, temperature": lambda points: most_probable(points, divisor),
        "energy": lambda points: log_sum(logits(points)),
        "energy, temperature": lambda points: log_sum(logits(points) / divisor),
        "nearest class mean": lambda points: nearest(points, means),
        "Mahalanobis": lambda points: nearest(points @ whiten, white),
        "linear": lambda points: points @ weights + bias,
    }


def linear(features: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights and bias of the least squares that tell known features (1) from others (-1), both of the same weight."""
    both = np.concatenate([features, others]).astype(np.float64)
    target = np.repeat([1.0, -1.0], [len(features), len(others)])
    share = np.repeat([0.5 / len(features), 0.5 / len(others)], [len(features), len(others)])
    mean, deviation = both.mean(0), both.std(0) + 1e-6
    scaled = (both - mean) / deviation
    middle = share @ target
    gram = scaled.T @ (share[:, None] * scaled) + SHRINKAGE * np.eye(scaled.shape[1])
    weights = np.linalg.solve(gram, scaled.T @ (share * (target - middle))) / deviation
    return weights, float(middle - mean @ weights)


def measure(features: np.ndarray, classes: np.ndarray, unknown: dict[str, np.ndarray]) -> dict:
    """What each method refuses of each kind, at 95 % of the known pictures kept."""
    logits = Logits()
    fitting, holding = (slice(start, None, 2) for start in (0, 1))
    divisor = temperature(logits(features[fitting]), classes[fitting])
    refused: dict[str, dict[str, float]] = {}
    for prefixes in GROUPS.values():
        left_out = [kind for kind in unknown if kind.startswith(prefixes)]
        others = np.concatenate([rows for kind, rows in unknown.items() if kind not in left_out])
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
    """`rejection` of model.json: the linear method, fitted with every kind."""
    weights, bias = linear(features[::2], np.concatenate(list(unknown.values())))
    rounded = np.array([float(f"{weight:.4g}") for weight in weights])
    scores = features[1::2] @ rounded + round(bias, 4)
    return {
        "method": "linear",
        "layer": LAYER,
        "threshold": round(float(np.quantile(scores, 1 - KEPT)), 4),
        "bias": round(bias, 4),
        "known_kept": KEPT,
        "known_pictures": len(features),
        "unknown_refused": results["refused"]["linear"]["mean_of_kinds"],
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
