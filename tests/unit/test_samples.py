"""The sample pictures are there, whole, and really made by the source beside them."""

import cv2
import numpy as np
import pytest

from scripts.draw_samples.scenes import SCENES, render
from workshop import ROOT, samples

pytestmark = pytest.mark.slow

IMAGENETTE = {
    "n01440764", "n02102040", "n02979186", "n03000684", "n03028079",
    "n03394916", "n03417042", "n03425413", "n03445777", "n03888257",
}  # fmt: skip


def committed(name) -> np.ndarray:
    return cv2.cvtColor(
        cv2.imdecode(np.fromfile(samples.sample_path(name), np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB
    )


def test_samples_are_exactly_the_pictures_in_the_folder():
    assert {path.stem for path in samples.FOLDER.glob("*.jpg")} == set(samples.SAMPLES)
    assert list(SCENES) == list(samples.SAMPLES)
    assert sum(path.stat().st_size for path in samples.FOLDER.iterdir()) < 1_000_000


def test_samples_cover_five_classes_and_something_unknown():
    classes = [wnid for wnid in samples.SAMPLES.values() if wnid]
    assert len(set(classes)) >= 5
    assert set(classes) <= IMAGENETTE
    unknown = {name for name, wnid in samples.SAMPLES.items() if wnid is None}
    assert unknown == {name for name in samples.SAMPLES if name.startswith("unknown_")}
    assert unknown


def test_a_samples_truth_depends_on_the_models_classes():
    ten, own = ["n03445777 golf ball", "n01440764 tench, Tinca tinca"], ["cat", "dog"]
    known = {name: wnid for name, wnid in samples.truths(ten).items() if wnid}
    assert known == {"golf_ball": "n03445777", "tench": "n01440764"}
    assert not any(samples.truths(own).values()) and list(samples.truths(own)) == list(samples.SAMPLES)


def test_of_imagenets_thousand_classes_ten_are_shown():
    synset = ROOT / "notebooks" / "workshop" / "models" / "convert" / "imagenet-synset.txt"
    labels = synset.read_text(encoding="utf-8").splitlines()
    found = samples.truths(labels)
    assert {name for name, wnid in found.items() if not wnid} == {"unknown_checkerboard", "unknown_page"}
    assert "n07747607 orange" in labels and found["unknown_oranges"] == "n07747607"


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_sample_decodes_at_its_size(name):
    assert samples.sample_path(name).read_bytes()[:2] == b"\xff\xd8"
    assert committed(name).shape == (375, 500, 3)


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_source_makes_the_committed_picture(name):
    tiny = render(name, (100, 75))
    assert tiny.dtype == np.uint8
    assert np.array_equal(tiny, render(name, (100, 75)))
    reference = cv2.resize(committed(name), (100, 75), interpolation=cv2.INTER_AREA)
    # A resampled random texture differs pixel by pixel; over patches of 5 x 5 the two must agree.
    difference = cv2.blur(tiny, (5, 5)).astype(float) - cv2.blur(reference, (5, 5))
    assert np.abs(difference).mean() < 6
    assert np.corrcoef(cv2.blur(tiny, (5, 5)).ravel(), cv2.blur(reference, (5, 5)).ravel())[0, 1] > 0.97


def test_unknown_name_is_refused():
    with pytest.raises(KeyError, match="golf_ball"):
        samples.sample_path("toaster")
