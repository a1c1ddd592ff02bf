"""A model's golden pictures, each with the class and the probability that a version with this model must answer.

They lie beside the model's files as `golden.json`. A folder that brings its own keeps it: so a new training of a model
is held to the answers of the one before.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from workshop.models import acceptance, preparation
from workshop.models.files import PRACTICE, ModelFiles
from workshop.samples import SAMPLES, sample_path

GOLDEN = "golden.json"
TOLERANCE = {"float32": 0.05, "int8": 0.12}  # how far a probability may be off, by precision
ENOUGH = 3  # pictures


def of(files: ModelFiles) -> dict[str, Any]:
    """The golden pictures of a model: its own, or what its predictor answers to the samples now.

    `{"tolerance": {"float32": 0.05, …}, "pictures": [{"file": "church.jpg", "class": "n03028079",
    "probability": 0.93}, …]}`, where `file` names a sample and `class` is the label's first word. These are the samples
    that the model gets right; where they are fewer than `ENOUGH`, all of them, with the class that it answers.
    """
    for folder in (files.folder, *([PRACTICE] if files.source == PRACTICE.name else [])):
        if (folder / GOLDEN).exists():
            return json.loads((folder / GOLDEN).read_text(encoding="utf-8"))
    return made(files)


def made(files: ModelFiles) -> dict[str, Any]:
    """Golden pictures from what the function's predictor answers. Raises CorruptedError where it refuses the model."""
    pictures = [preparation.prepared(files, sample_path(name).read_bytes()) for name in SAMPLES]
    answers = acceptance.answers(files.folder, np.concatenate(pictures))
    labels = [label.split(" ")[0] for label in files.labels]
    found = [
        {"file": f"{name}.jpg", "class": labels[answer.argmax()], "probability": round(float(answer.max()), 4)}
        for name, answer in zip(SAMPLES, answers, strict=True)
    ]
    right = [one for one in found if one["class"] == SAMPLES[Path(one["file"]).stem]]
    return {"tolerance": TOLERANCE, "pictures": right if len(right) >= ENOUGH else found}
