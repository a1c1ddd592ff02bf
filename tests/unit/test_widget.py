"""Try your own picture: the plain call, and the panel's three ways in."""

import json

import matplotlib
import numpy as np
import pytest
import requests

from predict import images
from predict.fitting import Fitting
from workshop import models
from workshop.inspection import widget
from workshop.samples import sample_path

matplotlib.use("agg")
LABELS = ["n03445777 golf ball", "n03888257 parachute, chute", "n03028079 church, church building"]
CROP = {"size": 224, "fit": "centre-crop", "fraction": 0.875}


def predict(batch):
    """Class 0 grows with how bright the middle of the picture is."""
    light = np.asarray(batch)[:, :, 80:144, 80:144].mean(axis=(1, 2, 3)) / 256
    return np.stack([light, (1 - light) * 0.75, (1 - light) * 0.25], axis=1)


def saying(folder, said: dict | None) -> models.ModelFiles:
    """A model whose model.json has this `input`; None: a model that says nothing of itself."""
    if said:
        (folder / models.ABOUT).write_text(json.dumps({"schema": 1, "input": said}))
    return models.ModelFiles(folder, "some", "some", "nobody", LABELS, {})


@pytest.fixture
def model(tmp_path):
    return saying(tmp_path, None)


@pytest.fixture
def asks(model):
    return widget.ask_model(predict, model), widget.heat_of(predict, model)


def children(panel):
    (upload, address, sample), message, drawing = panel.children[0].children, *panel.children[1:]
    return upload, address, sample, message, drawing


def send(upload, data: bytes | None = None, **content) -> None:
    """What the browser's part of the button sends."""
    buffers = [] if data is None else [memoryview(data)]
    upload._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": buffers})


def test_plain_call_draws_and_returns_the_classes(asks):
    ranked = widget.show_prediction("golf_ball", *asks)
    assert [entry["class"] for entry in ranked] != []
    assert sum(entry["probability"] for entry in ranked) == pytest.approx(1)


def test_heat_map_is_hot_where_the_class_comes_from(asks):
    picture = asks[1](sample_path("golf_ball").read_bytes()).astype(int)
    assert picture.shape == (375, 500, 3)  # the sample's own shape
    colour = np.abs(picture - picture.mean(axis=2, keepdims=True)).sum(axis=2)
    assert colour[160:214, 214:286].mean() > colour[:40, :54].mean()


def test_a_centre_crops_heat_map_is_its_square(tmp_path):
    cropping = saying(tmp_path, CROP)
    assert widget.heat_of(predict, cropping, stride=64)(sample_path("tench").read_bytes()).shape == (224, 224, 3)


@pytest.mark.parametrize("said", [None, CROP], ids=["squash", "centre-crop"])
def test_a_model_is_asked_as_the_function_would_ask_it(tmp_path, said):
    seen = []
    data = sample_path("tench").read_bytes()
    widget.ask_model(lambda batch: seen.append(batch) or predict(batch), saying(tmp_path, said))(data)
    fitting = Fitting.of(said) if said else Fitting()
    assert seen[0].dtype == np.float32 and (seen[0] == np.asarray(images.network_input(data, fitting))).all()


@pytest.mark.parametrize("said", [None, CROP], ids=["squash", "centre-crop"])
@pytest.mark.slow
def test_the_endpoints_heat_map_is_the_models_own(tmp_path, monkeypatch, said):
    """The same covered pictures, sent as files, give the same map."""
    sent, model = [], saying(tmp_path, said)
    ask = widget.ask_model(predict, model)

    def post(url, data, params, headers, auth, timeout):
        sent.append(params)
        answer, told = requests.Response(), {"name": "some"} | ({"input": said} if said else {})
        answer.status_code = 200
        answer._content = json.dumps({"predictions": ask(data), "model": told}).encode()
        return answer

    monkeypatch.setattr(requests, "post", post)
    data = sample_path("golf_ball").read_bytes()
    own = widget.heat_of(predict, model, stride=64)(data)
    theirs = widget.heat_of_endpoint("http://127.0.0.1:1/predict")(data)
    assert len(sent) == 18 and sent[0] == {"top": 20}
    assert np.abs(own.astype(int) - theirs.astype(int)).max() <= 4  # squares are rounded to whole numbers in a file


def test_picture_by_path_bytes_and_name_is_the_same():
    path = sample_path("golf_ball")
    assert widget.read_picture(path) == widget.read_picture("golf_ball") == widget.read_picture(path.read_bytes())


@pytest.mark.slow
def test_sample_and_upload_are_drawn(asks):
    panel = widget.panel(*asks)
    upload, _, sample, message, drawing = children(panel)
    sample.value = "church"
    first = bytes(drawing.value)
    assert first.startswith(b"\x89PNG") and message.value == ""
    send(upload, sample_path("golf_ball").read_bytes())
    assert bytes(drawing.value).startswith(b"\x89PNG") and bytes(drawing.value) != first


@pytest.mark.slow
def test_a_way_in_can_be_taken_again_after_another(asks):
    _, address, sample, message, drawing = children(widget.panel(*asks))
    sample.value = "church"
    address.value = "http://127.0.0.1/x.jpg"
    assert sample.value == "" and "is not on the public Internet" in message.value
    sample.value = "church"
    assert address.value == "" and message.value == "" and drawing.layout.display is None


def test_errors_are_words_and_never_markup(asks):
    _, address, _, message, drawing = children(widget.panel(*asks))
    address.value = "http://127.0.0.1/x.jpg"
    assert "is not on the public Internet" in message.value
    assert drawing.layout.display == "none"
    address.value = "http://<b>/"
    assert "<b>" not in message.value


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("not a url", "the URL&#x27;s host holds a blank"),
        ("ftp://images.example/", "must start with http:// or https://"),
        ("localhost/church.jpg", "is not on the public Internet"),
        ("127.0.0.1:80", "is not on the public Internet"),
        ("http://a..b/", "is no name"),
    ],
)
@pytest.mark.slow
def test_any_address_ends_in_words(asks, typed, said):
    _, address, sample, message, drawing = children(widget.panel(*asks))
    sample.value = "church"
    address.value = typed
    assert said in message.value and "Looking" not in message.value
    assert drawing.layout.display == "none"


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (RuntimeError("out of luck"), "out of luck"),
        (KeyError("predictions"), "predictions"),
        (AssertionError(), "AssertionError"),
        (requests.ConnectionError("refused"), "refused"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_whatever_is_raised_ends_in_words_and_the_next_is_answered(asks, problem, said):
    problems = [problem]

    def ask(data):
        if problems:
            raise problems.pop()
        return asks[0](data)

    upload, _, _, message, drawing = children(widget.panel(ask))
    send(upload, sample_path("golf_ball").read_bytes())
    assert said in message.value and drawing.layout.display == "none"
    send(upload, sample_path("golf_ball").read_bytes())
    assert message.value == "" and drawing.layout.display is None


def test_a_file_that_the_browser_refuses_takes_the_drawing_before_away(asks):
    upload, _, sample, message, drawing = children(widget.panel(*asks))
    sample.value = "church"
    send(upload, name="a.heic", refused="a.heic has 17.0 MB <b>")
    assert "a.heic has 17.0 MB &lt;b&gt;" in message.value and drawing.layout.display == "none"
    send(upload)
    assert "choose it again" in message.value


@pytest.mark.slow
def test_unknown_sample_says_which_there_are():
    with pytest.raises(KeyError, match="golf_ball"):
        widget.read_picture("elephant")
