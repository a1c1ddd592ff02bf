"""How pictures are fitted to a network's input: squashed, or their middle square."""

import io

import numpy as np
import pytest
from PIL import Image

from predict import images
from predict.fitting import MAX_SIDE, MIN_SIDE, Fitting
from workshop import ROOT

CHURCH = Image.open(ROOT / "notebooks" / "samples" / "church.jpg").convert("RGB")
CROPS = [Fitting(224, 0.875), Fitting(224, 1.0), Fitting(240, 0.9), Fitting(96, 0.5)]


def planes(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).transpose(2, 0, 1)[None].astype(np.float32)


def torchvisions(picture: Image.Image, fitting: Fitting) -> Image.Image:
    """Resize(size / fraction) and CenterCrop(size), line for line.

    https://github.com/pytorch/vision/blob/v0.19.0/torchvision/transforms/functional.py
    """
    assert fitting.fraction
    short, (width, height) = round(fitting.size / fitting.fraction), picture.size
    new_width, new_height = (
        (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    )
    picture = picture.resize((new_width, new_height), Image.Resampling.BICUBIC)
    top, left = round((new_height - fitting.size) / 2.0), round((new_width - fitting.size) / 2.0)
    return picture.crop((left, top, left + fitting.size, top + fitting.size))


@pytest.mark.slow
@pytest.mark.parametrize("fitting", CROPS, ids=str)
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (640, 640), (1600, 400), (4001, 2999), (7000, 5000)])
def test_a_centre_crop_is_torchvisions(size, fitting):
    """But for resampling."""
    picture = CHURCH.resize(size, Image.Resampling.BICUBIC)
    ours = np.asarray(images.prepare(picture, fitting), np.float32)
    theirs = planes(torchvisions(picture, fitting))
    shifted = np.roll(theirs, 1, axis=3)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).mean() < 1
    assert np.abs(ours - shifted).mean() > 3  # the measure sees a shift of a pixel


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (900, 1), (3, 2), (224, 224)])
@pytest.mark.parametrize("fitting", [*CROPS, Fitting(224, 0.01)], ids=str)
def test_every_picture_has_a_middle(size, fitting):
    batch = np.asarray(images.prepare(Image.new("RGB", size, (255, 128, 0)), fitting))
    assert batch.shape == (1, 3, fitting.size, fitting.size)
    assert [int(plane.min()) for plane in batch[0]] == [255, 128, 0] == [int(plane.max()) for plane in batch[0]]


def test_a_centre_crop_looks_at_the_middle_square_alone():
    picture = Image.new("RGB", (800, 400), (255, 0, 0))
    picture.paste((0, 0, 255), (219, 19, 581, 381))  # 0.875 of the shorter side, and what the filter reaches
    batch = np.asarray(images.prepare(picture, Fitting(224, 0.875)))[0]
    assert batch[2].min() > 250
    assert batch[0].max() < 5


@pytest.mark.parametrize(
    ("fitting", "side", "decoded"),
    [(Fitting(), 1792, 448), (Fitting(224, 0.875), 2048, 512), (Fitting(224, 0.875), 2040, 1020)],
)
def test_a_jpeg_comes_as_small_as_its_middle_allows(fitting, side, decoded):
    """libjpeg scales by halves: the square that is looked at keeps twice the input's pixels."""
    file = io.BytesIO()
    CHURCH.resize((side, side)).save(file, "JPEG", quality=90)
    small = images.decode(file.getvalue(), enough=fitting.enough)
    assert small.size == (decoded, decoded)
    whole = np.asarray(images.prepare(images.decode(file.getvalue()), fitting), np.float32)
    assert np.abs(np.asarray(images.network_input(file.getvalue(), fitting), np.float32) - whole).mean() < 2


@pytest.mark.parametrize("size", [MIN_SIDE, 299, MAX_SIDE])
def test_the_input_has_the_models_size(size):
    assert np.asarray(images.prepare(CHURCH, Fitting(size))).shape == (1, 3, size, size)


@pytest.mark.parametrize(
    ("said", "fitting"),
    [
        ({"size": 224, "fit": "squash"}, Fitting()),
        ({"size": 240, "fit": "squash", "fraction": None}, Fitting(240)),
        ({"size": 224, "fit": "centre-crop", "fraction": 0.875}, Fitting(224, 0.875)),
        ({"size": 224, "fit": "centre-crop", "fraction": 1}, Fitting(224, 1.0)),
    ],
)
def test_the_fitting_is_what_the_model_says(said, fitting):
    assert Fitting.of(said) == fitting


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ({}, "size"),
        ({"size": "224", "fit": "squash"}, "size"),
        ({"size": True, "fit": "squash"}, "size"),
        ({"size": MIN_SIDE - 1, "fit": "squash"}, "size"),
        ({"size": MAX_SIDE + 1, "fit": "squash"}, "size"),
        ({"size": 224}, "fitted by None"),
        ({"size": 224, "fit": "letterbox"}, "letterbox"),
        ({"size": 224, "fit": "centre-crop"}, "fraction"),
        ({"size": 224, "fit": "centre-crop", "fraction": 0}, "fraction"),
        ({"size": 224, "fit": "centre-crop", "fraction": 1.01}, "fraction"),
        ({"size": 224, "fit": "centre-crop", "fraction": float("nan")}, "fraction"),
    ],
)
def test_another_fitting_is_refused_by_name(said, word):
    with pytest.raises(ValueError, match=word):
        Fitting.of(said)
