"""Pillow's resize, which arm64 has alone, held to that of x86-64."""

import numpy as np
import pytest
from PIL import Image

from predict import images, resizing
from workshop.samples import SAMPLES, sample_path


@pytest.mark.skipif(resizing.square is resizing.by_pillow, reason="this machine has Pillow's alone")
@pytest.mark.parametrize("part", [(0, 0, 1, 1), (0.1, 0.13, 0.8, 0.74)])
def test_both_make_almost_the_same_of_every_sample(part):
    for name in SAMPLES:
        picture = images.decode(sample_path(name).read_bytes())
        box = tuple(share * side for share, side in zip(part, 2 * picture.size, strict=True))
        one, other = (np.asarray(made(picture, 224, box), int) for made in (resizing.square, resizing.by_pillow))
        difference = np.abs(one - other)
        assert difference.max() <= 6 and difference.mean() < 0.5, name


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (225, 224), (1000, 10)])
def test_a_part_that_ends_a_hair_outside_is_taken(size):
    picture = Image.new("RGB", size, (10, 20, 30))
    box = (0.1, 0.1, size[0] - 0.1 + 1e-9, size[1] - 0.1 + 1e-9)
    made = resizing.by_pillow(picture, 32, box)
    assert made.size == (32, 32) and made.getpixel((16, 16)) == (10, 20, 30)
