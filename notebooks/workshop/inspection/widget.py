"""Try your own picture: a panel for people, and the same path as a plain call for headless runs."""

import html
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import anywidget
import cv2
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import requests
from IPython.display import display
from PIL import Image

from predict import fetching, fitting, images, predictor
from predict.fitting import Fitting
from workshop import plots
from workshop.access import Endpoint
from workshop.inspection import explain
from workshop.models import ModelFiles, preparation
from workshop.samples import SAMPLES, sample_path

Ask = Callable[[bytes], list[dict]]
Heat = Callable[[bytes], np.ndarray]


def read_picture(picture: bytes | Path | str) -> bytes:
    """The bytes of a picture: bytes themselves, a file's path, a sample's name, or an address (http, https).

    An address is fetched under the function's rules, ALLOWED_PRIVATE_HOSTS of the environment among them. Raises
    PredictionError for an address that is refused, KeyError for an unknown sample, OSError for a missing file.
    """
    if isinstance(picture, bytes):
        return picture
    if isinstance(picture, str) and picture.startswith(("http://", "https://")):
        return _fetched(picture)
    return (picture if isinstance(picture, Path) else sample_path(picture)).read_bytes()


def _fetched(url: str) -> bytes:
    return fetching.fetch(url, allowed=fetching.AllowedHosts.parse(os.environ.get("ALLOWED_PRIVATE_HOSTS", "")))


def ask_model(predict: explain.Predict, model: ModelFiles, top: int = 5) -> Ask:
    """Ask a model on this machine. `predict`: float32 (N, 3, size, size) to probabilities float32 (N, classes)."""

    def ask(data: bytes) -> list[dict]:
        return predictor.rank(predict(preparation.prepared(model, data).astype(np.float32))[0], model.labels, top)

    return ask


def ask_endpoint(endpoint: str | Endpoint, top: int = 5) -> Ask:
    """Ask the endpoint, by the URL of its /predict; an error of its contract becomes a ValueError with its words."""

    def ask(data: bytes) -> list[dict]:
        return _answer(endpoint, data, top)["predictions"]

    return ask


def _answer(endpoint: str | Endpoint, data: bytes, top: int) -> dict:
    to = Endpoint.of(endpoint)
    headers = {"Content-Type": "application/octet-stream", "Accept": "application/json"}
    answer = requests.post(to.url, data, params={"top": top}, headers=headers, auth=to.auth, timeout=60)
    if not answer.ok:
        raise ValueError(f"the endpoint answered {answer.status_code}: {answer.text}")
    return answer.json()


def heat_of(predict: explain.Predict, model: ModelFiles, stride: int = 48) -> Heat:
    """Where a model's first class comes from: its heat map on the part of a picture that it looks at.

    Returns RGB uint8 (H, W, 3): of a whole picture's own shape; for a centre crop, a square of the model's size.

    `predict`: as of `ask_model`. `stride`: as of `explain.occlusion`.
    """

    def heat(data: bytes) -> np.ndarray:
        batch = preparation.prepared(model, data).astype(np.float32)
        found = explain.occlusion(predict, batch, int(predict(batch)[0].argmax()), stride=stride)
        return _on_picture(data, batch, found.heat, preparation.fitting(model))

    return heat


def heat_of_endpoint(endpoint: str | Endpoint) -> Heat:
    """As `heat_of`, for the endpoint, by the URL of its /predict.

    Covering needs no more than its answers, 18 a picture, which name the model's fitting. A class that is not among the
    20 first ones of an answer counts as impossible there.
    """

    def heat(data: bytes) -> np.ndarray:
        answer = _answer(endpoint, data, top=20)
        said = answer["model"].get("input")  # missing for a model that says nothing of itself
        fitted = Fitting.of(said) if said else fitting.DEFAULT
        batch = np.asarray(images.network_input(data, fitted), np.float32)
        first = answer["predictions"][0]["class"]

        def asked(covered: np.ndarray) -> list[dict]:
            square = Image.fromarray(explain.as_picture(covered[np.newaxis]))
            return _answer(endpoint, _png(preparation.framed(square, fitted)), top=20)["predictions"]

        def predict(pictures: np.ndarray) -> np.ndarray:
            given = [{entry["class"]: entry["probability"] for entry in asked(one)} for one in pictures]
            return np.array([[probabilities.get(first, 0.0)] for probabilities in given], np.float32)

        found = explain.occlusion(predict, batch, 0, stride=64)
        return _on_picture(data, batch, found.heat, fitted)

    return heat


def _on_picture(data: bytes, batch: np.ndarray, heat: np.ndarray, fitted: Fitting) -> np.ndarray:
    overlay = explain.overlay(explain.as_picture(batch), heat)
    # The network sees a square; the reader sees a whole picture in its own shape.
    return cv2.resize(overlay, images.decode(data).size) if fitted.fraction is None else overlay


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def draw(data: bytes, ask: Ask, heat: Heat | None = None) -> tuple[plt.Figure, list[dict]]:
    """A figure of a picture's file, its classes as bars and, with `heat`, where the first class comes from."""
    pixels = np.asarray(images.decode(data))
    ranked = ask(data)
    figure = plt.figure(figsize=(11 if heat else 8, 3))
    grid = figure.add_gridspec(1, 3 if heat else 2)
    plots.photo(figure.add_subplot(grid[0]), pixels)
    plots.ranking(figure.add_subplot(grid[1]), ranked)
    if heat:
        plots.photo(figure.add_subplot(grid[2]), heat(data), "the parts that count")
    best = ranked[0]
    plots.headline(
        figure,
        f"{plots.short(best['class'])}, {best['probability']:.0%}",
        "The image beside bars of its probable classes",
    )
    return figure, ranked


def show_prediction(picture: bytes | Path | str, ask: Ask, heat: Heat | None = None) -> list[dict]:
    """Show what `draw` draws of a picture, given as `read_picture` takes it; returns the classes.

    Raises what `read_picture`, the decoder (PredictionError) and `ask` raise.
    """
    _, ranked = draw(read_picture(picture), ask, heat)
    plt.show()
    return ranked


class Upload(anywidget.AnyWidget):
    """A button that takes one file and gives its bytes to `receive`, made smaller by the browser where it is large.

    `receive` is called with the bytes, or with the browser's words (str) for a file that it cannot make small enough.
    """

    _esm = Path(__file__).with_name("upload.js")

    def __init__(self, receive: Callable[[bytes | str], None]) -> None:
        super().__init__(layout={"width": "auto"})
        self._receive = receive
        self.on_msg(self._take)

    def _take(self, _, content: dict, buffers: list) -> None:
        self._receive(bytes(buffers[0]) if buffers else str(content.get("refused") or "no file came: choose it again"))


def panel(ask: Ask, heat: Heat | None = None) -> ipywidgets.VBox:
    """A panel that takes a picture (upload, address or sample) and shows it as `show_prediction` does.

    It ends in a drawing or in words, whatever is raised on the way; the drawing of before is away from the start.
    """
    address = ipywidgets.Text(placeholder="https://… then Enter", description="URL", continuous_update=False)
    names = [("choose one", ""), *((name.replace("_", " "), name) for name in SAMPLES)]
    sample = ipywidgets.Dropdown(options=names, description="Sample")
    message, drawing = ipywidgets.HTML(), ipywidgets.Image(format="png", layout={"max_width": "100%"})
    drawing.layout.display = "none"

    def begin() -> None:
        upload.send({})  # it need not wait for the kernel any longer
        drawing.layout.display, message.value = "none", "Predicting…"

    def fail(words: str) -> None:
        message.value = f"<p role='alert'>{html.escape(words)}</p>"

    def answer(chosen: ipywidgets.Widget, get: Callable[[], bytes]) -> None:
        begin()
        for other in (address, sample):
            if other is not chosen:
                other.value = ""  # so that choosing it again, too, is a change
        try:
            with plt.ioff():
                figure, _ = draw(get(), ask, heat)
            drawn = io.BytesIO()
            figure.savefig(drawn, format="png")
            plt.close(figure)
        except KeyboardInterrupt:
            fail("stopped before it had an answer")
        except Exception as problem:  # whatever it is: nobody above would show it
            fail(str(problem) or type(problem).__name__)
        else:
            drawing.value, drawing.layout.display, message.value = drawn.getvalue(), None, ""

    def receive(came: bytes | str) -> None:
        if isinstance(came, bytes):
            answer(upload, lambda: came)
        else:
            begin()
            fail(came)

    def look_up(change: dict) -> None:
        typed = change["new"].strip()
        # As the page at / does: who leaves the scheme out means https.
        url = typed if re.match(r"[a-z][a-z0-9+.-]*:(?!\d)", typed, re.IGNORECASE) else f"https://{typed}"
        if typed:
            answer(address, lambda: _fetched(url))

    def take_sample(change: dict) -> None:
        if change["new"]:
            answer(sample, lambda: read_picture(change["new"]))

    upload = Upload(receive)
    address.observe(look_up, "value")
    sample.observe(take_sample, "value")
    return ipywidgets.VBox([ipywidgets.HBox([upload, address, sample]), message, drawing])


def try_your_own(ask: Ask, heat: Heat | None = None, picture: bytes | Path | str = "golf_ball") -> list[dict]:
    """Show the panel, and below it what it shows for `picture`, so that a run without a reader takes the same path."""
    display(panel(ask, heat))
    return show_prediction(picture, ask, heat)
