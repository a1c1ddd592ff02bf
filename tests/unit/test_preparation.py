"""The workbook prepares a picture as the function does, by what the model says of itself."""

import dataclasses
import io
import json
from types import MappingProxyType

import numpy as np
import pytest
from PIL import Image

from predict import images
from predict.fitting import Fitting
from predict.model_files import ABOUT
from workshop import models
from workshop.inspection import evaluation
from workshop.models import golden, preparation
from workshop.samples import SAMPLES, sample_path

CROP = MappingProxyType({"size": 224, "fit": "centre-crop", "fraction": 0.875})
SAID = {
    "lite0": (CROP, Fitting(224, 0.875)),
    "larger crop": ({"size": 240, "fit": "centre-crop", "fraction": 0.9}, Fitting(240, 0.9)),
    "squash": ({"size": 224, "fit": "squash"}, Fitting()),
    "nothing": (None, Fitting()),
}


def saying(folder, said) -> models.ModelFiles:
    """A model whose model.json has this `input`."""
    if said is not None:
        (folder / ABOUT).write_text(json.dumps({"schema": 1, "input": dict(said)}))
    return models.ModelFiles(folder, "some", "some", "nobody", ["n0 one"], {})


def photo(width: int, height: int) -> bytes:
    file = io.BytesIO()
    gradient = Image.merge("RGB", [Image.linear_gradient("L").rotate(angle) for angle in (0, 90, 180)])
    gradient.resize((width, height)).save(file, "JPEG", quality=90)
    return file.getvalue()


# The last one is so large that its JPEG comes at a half of its size.
PICTURES = {name: sample_path(name).read_bytes() for name in ("tench", "church")} | {
    "upright": photo(300, 700),
    "large": photo(2400, 1800),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(("said", "fitting"), SAID.values(), ids=SAID)
def test_a_picture_is_prepared_as_the_function_does_byte_for_byte(tmp_path, said, fitting, name):
    model, data = saying(tmp_path, said), PICTURES[name]
    made = preparation.prepared(model, data)
    assert (made.dtype, made.shape) == (np.uint8, (1, 3, fitting.size, fitting.size))
    assert made.tobytes() == images.network_input(data, fitting).tobytes()
    picture = images.decode(data)
    assert preparation.prepared(model, picture).tobytes() == images.prepare(picture, fitting).tobytes()


def test_a_centre_crop_is_no_squash(tmp_path):
    data = PICTURES["tench"]
    assert (preparation.prepared(saying(tmp_path, CROP), data) != np.asarray(images.network_input(data))).mean() > 0.5


@pytest.mark.parametrize("name", SAMPLES)
def test_the_practice_models_pictures_stay_as_they_were(name):
    data = sample_path(name).read_bytes()
    made = preparation.prepared(models.open_model(models.PRACTICE), data)
    assert made.tobytes() == images.network_input(data).tobytes()


def test_a_fitting_that_the_function_does_not_know_is_refused(tmp_path):
    with pytest.raises(models.ModelError, match="letterbox"):
        preparation.prepared(saying(tmp_path, {"size": 224, "fit": "letterbox"}), PICTURES["tench"])


@pytest.mark.parametrize(
    "fitting",
    [Fitting(), *(Fitting(size, part) for size in (96, 224, 299) for part in (0.5, 0.875, 0.9, 1.0))],
    ids=str,
)
def test_a_framed_square_is_prepared_to_itself(fitting):
    values = np.random.default_rng(0).integers(0, 256, (fitting.size, fitting.size, 3), np.uint8)
    made = np.asarray(images.prepare(preparation.framed(Image.fromarray(values), fitting), fitting))
    assert (made[0].transpose(1, 2, 0) == values).all()


def test_an_evaluation_asks_with_the_models_own_preparation(tmp_path):
    seen, model = [], saying(tmp_path, CROP)
    evaluation.predict_files(model, [sample_path("tench")], [lambda batch: seen.append(batch) or [1.0]])
    assert seen[0].tobytes() == images.network_input(PICTURES["tench"], Fitting(224, 0.875)).tobytes()


def test_golden_pictures_are_asked_with_the_models_own_preparation(tmp_path, monkeypatch):
    seen: list[np.ndarray] = []
    model = dataclasses.replace(saying(tmp_path, CROP), labels=[f"n{number} one" for number in range(len(SAMPLES))])
    monkeypatch.setattr(golden.acceptance, "answers", lambda _folder, batch: seen.append(batch) or np.eye(len(batch)))
    golden.made(model)
    (batch,) = seen
    expected = [images.network_input(sample_path(name).read_bytes(), Fitting(224, 0.875)) for name in SAMPLES]
    assert batch.tobytes() == b"".join(each.tobytes() for each in expected)
