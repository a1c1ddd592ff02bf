"""A conversion from the file to a model that the function serves: proof, description, labels, pictures, the command."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cases.networks import CLASSES, SIZE, tiny, write
from workshop import ROOT, models
from workshop.models import about, acceptance
from workshop.models.convert import PRESETS, ConversionError, Preprocessing, convert, given, preprocessing, proof
from workshop.models.convert import labels as names

LABELS = [f"class {index}" for index in range(CLASSES)]
PICTURES = given(mean=0.5, deviation=0.5, fit="squash")


@pytest.fixture
def network(tmp_path) -> Path:
    return write(tiny(), tmp_path / "in" / "tiny.onnx")


@pytest.mark.slow
def test_a_converted_network_is_a_model_that_the_function_serves(network, tmp_path):
    made = convert(network, tmp_path / "out", given=PICTURES, classes=LABELS, licence="MIT")
    files = models.open_model(tmp_path / "out")
    assert [path.name for path in files] == [*models.FILES, models.ABOUT, models.MANIFEST]
    assert files.labels == LABELS
    assert made.proof.difference <= proof.LIMIT and made.proof.agreed == made.proof.pictures
    answers = acceptance.answers(files.folder, proof.pictures(SIZE))
    assert np.ptp(answers, axis=0).max() > 0.01  # the pictures do matter
    assert "a softmax was added" in " ".join(made.remarks)


@pytest.mark.slow
def test_it_says_what_it_is(network, tmp_path):
    convert(
        network, tmp_path / "out", given=PICTURES, classes=LABELS, licence="MIT", origin="https://example.com/tiny.onnx"
    )
    said = about.read(tmp_path / "out")
    assert list(said) == [
        "schema",
        "name",
        "architecture",
        "classes",
        "input",
        "precisions",
        "licence",
        "source",
        "conversion",
        "results",
        "not_for",
    ]
    assert (said["schema"], said["name"], said["architecture"], said["licence"]) == (1, "out", "ONNX by tests", "MIT")
    assert (
        said["source"]["sha256"] == models.sha256(network) and said["source"]["from"] == "https://example.com/tiny.onnx"
    )
    assert said["input"] == {
        "size": SIZE,
        "fit": "squash",
        "channels": "RGB",
        "mean": [127.5] * 3,
        "deviation": [127.5] * 3,
        "normalised_by": "the network",
    }
    assert said["results"] == "not measured" and said["conversion"]["limit"] == proof.LIMIT
    text = (ROOT / "docs" / "model-json.md").read_text()
    assert all(f"`{key}`" in text for key in said)
    assert about.input_size(tmp_path / "out") == SIZE and about.input_size(models.PRACTICE) == 224


@pytest.mark.parametrize(
    ("source", "said", "top1"),
    [
        ("practice", None, 0.8825),
        ("elsewhere", None, None),
        ("elsewhere", about.NOT_MEASURED, None),
        ("elsewhere", {"top1": 0.697, "measured_by": "its publisher"}, 0.697),
    ],
)
def test_the_results_of_a_model_are_its_own(source, said, top1, tmp_path):
    if said is not None:
        about.write(tmp_path, {"input": {"size": SIZE}, "results": said})
    files = models.ModelFiles(tmp_path, "name", source, "nothing", LABELS, {})
    assert about.results(files).get("top1") == top1
    assert ("confusion_matrix" in about.results(files)) == (source == "practice")


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 2, "input": {"size": 224}}', '{"schema": 1, "input": {}}'])
def test_another_schema_is_refused(tmp_path, content):
    (tmp_path / models.ABOUT).write_text(content)
    with pytest.raises(models.CorruptedError, match=models.ABOUT):
        about.read(tmp_path)


@pytest.mark.slow
def test_a_refusal_leaves_what_was_there(network, tmp_path, monkeypatch):
    convert(network, tmp_path / "out", given=PICTURES, classes=LABELS)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    monkeypatch.setattr(proof, "LIMIT", -1.0)
    with pytest.raises(ConversionError, match=r"differ by .* in a probability; at most"):
        convert(network, tmp_path / "out", given=PICTURES, classes=LABELS)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


@pytest.mark.slow
def test_labels_are_found_beside_the_file_and_counted(network, tmp_path):
    network.with_name("labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    assert models.read_labels(convert(network, tmp_path / "out", given=PICTURES).folder / models.SYNSET) == LABELS
    with pytest.raises(ConversionError, match=r"has 5 classes, the labels are 1000 \(ImageNet's 1,000, as asked\)"):
        convert(network, tmp_path / "out", given=PICTURES, classes="imagenet")
    network.with_name("labels.txt").unlink()
    with pytest.raises(ConversionError, match="give --labels"):
        convert(network, tmp_path / "out", given=PICTURES)
    network.with_name("config.json").write_text(
        json.dumps({"id2label": {str(i): name for i, name in enumerate(LABELS)}})
    )
    assert names.find(None, network, names.read_config(network)) == (LABELS, "config.json")


def test_imagenets_classes_are_in_their_order():
    listed = names.imagenet()
    wnids = [label.split()[0] for label in listed]
    assert len(listed) == 1000 and wnids == sorted(set(wnids))
    assert listed[0] == "n01440764 tench, Tinca tinca" and listed[999].startswith("n15075141 toilet tissue")
    assert set(models.read_labels(models.PRACTICE / models.SYNSET)) <= set(listed)


def test_pictures_are_never_guessed(network, tmp_path):
    with pytest.raises(ConversionError, match=r"not known: mean, deviation, fit\. Give them: --preprocessing"):
        convert(network, tmp_path / "out", classes=LABELS)
    with pytest.raises(ConversionError, match=r"takes 32 × 32 pixels, not 224"):
        convert(network, tmp_path / "out", given=given(size=224).filled(PRESETS["imagenet"]), classes=LABELS)
    open_size = write(tiny(size="side"), tmp_path / "in" / "open.onnx")
    with pytest.raises(ConversionError, match="not known: size"):
        convert(open_size, tmp_path / "out", given=PICTURES, classes=LABELS)


@pytest.mark.slow
def test_what_lies_beside_the_file_says_how_pictures_are_prepared(network, tmp_path):
    config = {"pretrained_cfg": {"input_size": [3, SIZE, SIZE], "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.2, 0.1],
                                 "crop_pct": 0.9, "license": "apache-2.0"}}  # fmt: skip
    network.with_name("config.json").write_text(json.dumps(config))
    made = convert(network, tmp_path / "out", classes=LABELS)
    assert made.about["input"] == {"size": SIZE, "fit": "centre-crop", "fraction": 0.9, "channels": "RGB",
                                   "mean": [127.5, 102, 76.5], "deviation": [63.75, 51, 25.5],
                                   "normalised_by": "the network"}  # fmt: skip
    assert made.about["licence"] == "apache-2.0" and "images: config.json" in made.remarks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"shortest_edge": 256}, "do_center_crop": True,
          "crop_size": {"height": 224, "width": 224}}, (224, (127.5,) * 3, (127.5,) * 3, "centre-crop", 0.875)),
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 224},
         (224, (127.5,) * 3, (127.5,) * 3, "squash", 1.0)),
        ({"do_normalize": False, "do_rescale": False, "size": 224}, (224, (0.0,) * 3, (1.0,) * 3, "squash", 1.0)),
        ({"pretrained_cfg": {"input_size": [3, 240, 240], "mean": [0, 0, 0], "std": [1, 1, 1], "crop_mode": "squash"}},
         (240, (0.0,) * 3, (255.0,) * 3, "squash", 1.0)),
        ({"size": 224, "mean": 127, "deviation": 128, "fit": "squash"},
         (224, (127.0,) * 3, (128.0,) * 3, "squash", 1.0)),
    ],
)  # fmt: skip
def test_descriptions_of_other_libraries_are_understood(text, expected):
    read = preprocessing.from_json(json.dumps(text), "a file")
    assert (read.size, read.fit, read.fraction) == (expected[0], expected[3], expected[4])
    np.testing.assert_allclose([read.mean, read.deviation], expected[1:3])


def test_an_onnx_files_own_metadata_is_read():
    read = preprocessing.from_onnx({"Image.NominalPixelRange": "Normalized_1_1", "Image.BitmapPixelFormat": "Bgr8"})
    assert (read.mean, read.deviation, read.channels) == ((127.5,) * 3, (127.5,) * 3, "BGR")
    assert preprocessing.from_onnx({}) == Preprocessing()


def test_what_is_given_goes_before_what_is_found():
    found = preprocessing.from_json(
        '{"size": 64, "mean": 1, "deviation": 2, "fit": "squash", "channels": "BGR"}', "a file"
    )
    both = given(mean=3, deviation=4, pixels=255).filled(found)
    assert (both.size, both.mean, both.channels, both.fit) == (64, (3.0,) * 3, "RGB", "squash")
    assert given(size=32).filled(found).channels == "BGR"


@pytest.mark.parametrize(
    "options",
    [{"deviation": 0}, {"mean": [1, 2]}, {"channels": "GRB"}, {"fit": "stretch"}, {"fraction": 2}, {"size": 4}],
)
def test_what_cannot_be_is_refused(options):
    with pytest.raises(ConversionError, match="expected"):
        given(**options)


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "workshop.models.convert", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_the_command(network, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{label}\n" for label in LABELS))
    pictures = ("--preprocessing", "imagenet", "--fit", "squash", "--channels", "BGR")
    done = run(network, "--labels", labels, "--out", tmp_path / "out", *pictures)
    assert done.returncode == 0, done.stderr
    assert "the largest difference of a probability to ONNX Runtime" in done.stdout and "wrote " in done.stdout
    said = about.read(tmp_path / "out")["input"]
    assert said["channels"] == "BGR" and said["fit"] == "squash" and said["mean"][0] == 123.675
    failed = run(network, "--labels", labels, "--out", tmp_path / "other")
    assert failed.returncode == 1 and failed.stderr.startswith("convert: tiny.onnx: how the network wants its images")
    assert "Traceback" not in failed.stderr and not (tmp_path / "other").exists()


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x07" * 40])
def test_what_is_no_onnx_is_refused(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ConversionError, match=r"broken\.onnx"):
        convert(path, tmp_path / "out", given=PICTURES, classes=LABELS)
