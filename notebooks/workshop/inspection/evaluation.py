"""How good a classifier is: accuracy, confusion, calibration, and its worst mistakes."""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from workshop.models import ModelFiles, preparation
from workshop.progress import progress

Predict = Callable[[np.ndarray], np.ndarray]


def predict_files(model: ModelFiles, files: Sequence[Path], predicts: Sequence[Predict]) -> np.ndarray:
    """Probabilities float32 (predictors, N, classes) for picture files, as the function would answer them.

    Each file's bytes are prepared for `model`, as the function does; each of `predicts` takes the result, uint8
    (1, 3, size, size), and returns float32 (classes,).
    """
    answers = []
    for file in progress(files, desc="evaluate", unit="image"):
        batch = preparation.prepared(model, Path(file).read_bytes())
        answers.append([predict(batch) for predict in predicts])
    return np.array(answers, np.float32).transpose(1, 0, 2)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The share of pictures, 0 to 1, whose most probable class is the right one ("top-1")."""
    return float((probabilities.argmax(axis=1) == labels).mean())


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log of what the right class was given: 0 if sure and right, log(classes) for a guess.

    Probabilities count as at least 1e-7, so that one hopeless answer does not make it infinite.
    """
    given = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, 1e-7)).mean())


def wilson_interval(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % confidence interval of a share, after Wilson (1927), https://doi.org/10.2307/2276774."""
    share, spread = successes / trials, z**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return float(centre - half), float(centre + half)


def confusion_matrix(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts int (classes, classes): row = what the picture shows, column = what the network says."""
    classes = probabilities.shape[1]
    matrix = np.zeros((classes, classes), int)
    np.add.at(matrix, (labels, probabilities.argmax(axis=1)), 1)
    return matrix


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence is above `low` and at most `high`: how many, how sure, and how often right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def calibration(probabilities: np.ndarray, labels: np.ndarray, bins: int = 10) -> tuple[list[Bin], float]:
    """The bins that are not empty, and the expected calibration error (ECE), 0 to 1.

    Confidence is the probability of the class that is named. The ECE is the mean distance between confidence and
    accuracy, each bin weighted with its count: Guo et al., https://arxiv.org/abs/1706.04599, equation 3.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    found = []
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            mean, share = float(confidence[inside].mean()), float(right[inside].mean())
            found.append(Bin(round(float(low), 4), round(float(high), 4), int(inside.sum()), mean, share))
    error = sum(one.count * abs(one.confidence - one.accuracy) for one in found) / len(labels)
    return found, error


def worst_mistakes(probabilities: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of the wrong answers, the most confident first, at most `count`."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:count]


def summary(probabilities: np.ndarray, labels: np.ndarray) -> dict:
    """The results as plain numbers for a file, to four places: accuracy, its interval, calibration, confusion."""
    found, error = calibration(probabilities, labels)
    right = int((probabilities.argmax(axis=1) == labels).sum())
    return {
        "images": len(labels),
        "right": right,
        "top1": round(right / len(labels), 4),
        "top1_interval_95": [round(bound, 4) for bound in wilson_interval(right, len(labels))],
        "mean_confidence": round(float(probabilities.max(axis=1).mean()), 4),
        "expected_calibration_error": round(float(error), 4),
        "calibration": [{name: round(value, 4) for name, value in asdict(one).items()} for one in found],
        "confusion_matrix": confusion_matrix(probabilities, labels).tolist(),
    }


def write_json(results: dict, path: Path) -> None:
    """Write results so that a person can read them: one line per entry, a matrix one line per row."""

    def line(value):
        if isinstance(value, list) and value and isinstance(value[0], list | dict):
            return "[\n  " + ",\n  ".join(json.dumps(row) for row in value) + "\n ]"
        return json.dumps(value)

    entries = [f" {json.dumps(name)}: {line(value)}" for name, value in results.items()]
    Path(path).write_text("{\n" + ",\n".join(entries) + "\n}\n")
