"""Fetching a model: every source, every way a download can go wrong, and nothing half-written after any of them."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import botocore.exceptions
import mxnet as mx
import numpy as np
import pytest

from workshop import ROOT, models
from workshop.models.flaky_server import FlakyServer

LABELS = ["n01 first", "n02 second", "n03 third"]


def tiny_network(classes: int = 3) -> mx.sym.Symbol:
    """Convolution, pooling, fully connected: what a model is, in a few kilobytes."""
    data = mx.sym.Variable("data")
    body = mx.sym.Convolution(data, name="conv0", num_filter=4, kernel=(3, 3))
    body = mx.sym.BatchNorm(body, name="bn0")
    body = mx.sym.Pooling(body, name="pool1", global_pool=True, kernel=(1, 1), pool_type="avg")
    return mx.sym.SoftmaxOutput(mx.sym.FullyConnected(body, name="fc1", num_hidden=classes), name="softmax")


def write_sums(folder: Path) -> None:
    lines = [f"{models.sha256(folder / name)}  {name}\n" for name in models.FILES]
    (folder / models.MANIFEST).write_text("".join(lines))


def write_model(folder: Path, dtype: str = "float16", labels: list[str] = LABELS, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    symbol = tiny_network()
    arguments, _, auxiliary = symbol.infer_shape(data=models.INPUT_SHAPE)
    mx.random.seed(seed)
    values = {
        f"arg:{name}": mx.nd.random.normal(shape=shape).astype(dtype)
        for name, shape in zip(symbol.list_arguments(), arguments, strict=True)
        if name not in ("data", "softmax_label")
    }
    names = zip(symbol.list_auxiliary_states(), auxiliary, strict=True)
    values |= {f"aux:{name}": mx.nd.ones(shape).astype(dtype) for name, shape in names}
    symbol.save(str(folder / models.SYMBOL))
    mx.nd.save(str(folder / models.PARAMS), values)
    (folder / models.SYNSET).write_text("".join(f"{label}\n" for label in labels))
    write_sums(folder)
    return folder


@pytest.fixture
def source(tmp_path) -> Path:
    """A model of one's own, `tiny`, with its manifest."""
    return write_model(tmp_path / "source" / "tiny")


@pytest.fixture
def store(tmp_path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def server(source):
    with FlakyServer(source.parent) as flaky:
        yield flaky


@pytest.fixture
def mirrors(server, source):
    """A mirror that has nothing, and one that has the model, as MXNet's do: the labels under a URL of their own."""
    shutil.copy(source / models.SYNSET, source.parent / "synset.txt")
    for name in (models.SYMBOL, models.PARAMS):  # under the names that MXNet gave them
        (source / name.replace("model", "resnet-18")).symlink_to(name)
    return (
        models.Mirror(f"{server.url}gone/", f"{server.url}gone/synset.txt"),
        models.Mirror(f"{server.url}tiny/", f"{server.url}synset.txt"),
    )


@pytest.fixture
def blob(tmp_path) -> Path:
    """A file of 1 MB that no two of its parts are alike in, in a folder to serve."""
    path = tmp_path / "served" / "blob"
    path.parent.mkdir()
    path.write_bytes(b"".join(hashlib.sha256(bytes(str(i), "ascii")).digest() for i in range(1 << 15)))
    return path


@pytest.fixture
def blobs(blob):
    with FlakyServer(blob.parent) as flaky:
        yield flaky


def get(flaky: FlakyServer, target: Path, **options) -> Path:
    return models.download(f"{flaky.url}blob", target, progress=False, pause=0.001, **options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# One file.


def test_a_file_arrives_whole_and_alone(blob, blobs, tmp_path):
    target = get(blobs, tmp_path / "new" / "file", expected=models.sha256(blob))
    assert target.read_bytes() == blob.read_bytes()
    assert names(target.parent) == ["file"]


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(blob, blobs, tmp_path):
    blobs.hang_ups = 3
    target = get(blobs, tmp_path / "file", expected=models.sha256(blob), attempts=2)
    assert target.read_bytes() == blob.read_bytes()
    assert [request.status for request in blobs.requests] == [200, 206, 206, 206]
    # Less than half is asked for again each time.
    assert sum(request.sent for request in blobs.requests) < 1.2 * blob.stat().st_size


def test_the_next_run_goes_on_where_the_last_one_gave_up(blob, blobs, tmp_path):
    blobs.hang_ups = 1
    with pytest.raises(models.SourceError, match=r"0\.5 MB are kept: the next run goes on"):
        get(blobs, tmp_path / "file", attempts=1)
    assert not (tmp_path / "file").exists()
    assert get(blobs, tmp_path / "file").read_bytes() == blob.read_bytes()
    assert blobs.requests[-1].status == 206


def test_a_file_that_changed_meanwhile_is_fetched_from_the_start(blob, blobs, tmp_path):
    blobs.hang_ups = 1
    with pytest.raises(models.SourceError):
        get(blobs, tmp_path / "file", attempts=1)
    blob.write_bytes(blob.read_bytes()[::-1])
    blobs.version = '"2"'
    assert get(blobs, tmp_path / "file").read_bytes() == blob.read_bytes()
    assert blobs.requests[-1].status == 200


def test_half_a_file_of_another_address_is_not_used(blob, blobs, tmp_path):
    blobs.hang_ups = 1
    with pytest.raises(models.SourceError):
        get(blobs, tmp_path / "file", attempts=1)
    other = blob.with_name("other")
    other.write_bytes(b"another file")
    target = models.download(f"{blobs.url}other", tmp_path / "file", progress=False)
    assert target.read_bytes() == b"another file"
    assert not blobs.requests[-1].range


def test_a_server_without_ranges_sends_it_all_again(blob, blobs, tmp_path):
    blobs.hang_ups, blobs.ignore_range = 1, True
    assert get(blobs, tmp_path / "file", expected=models.sha256(blob)).read_bytes() == blob.read_bytes()
    assert [request.status for request in blobs.requests] == [200, 200]


def test_a_server_without_ranges_that_keeps_breaking_off_is_given_up(blobs, tmp_path):
    blobs.hang_ups, blobs.ignore_range = 100, True
    with pytest.raises(models.SourceError, match="Check the network"):
        get(blobs, tmp_path / "file", attempts=3)
    assert len(blobs.requests) == 3


def test_a_part_longer_than_the_file_is_dropped(blob, blobs, tmp_path):
    blobs.hang_ups = 1
    with pytest.raises(models.SourceError):
        get(blobs, tmp_path / "file", attempts=1)
    with (tmp_path / "file.part").open("ab") as part:
        part.write(bytes(1 << 20))
    assert get(blobs, tmp_path / "file").read_bytes() == blob.read_bytes()
    assert [request.status for request in blobs.requests] == [200, 416, 200]


def test_a_corrupted_file_is_refused_and_not_kept(blob, blobs, tmp_path):
    blobs.flip_a_bit = True
    (tmp_path / "file").write_bytes(b"what was there before")
    expected = models.sha256(blob)
    with pytest.raises(
        models.CorruptedError, match=rf"expected SHA-256 {expected}, got [0-9a-f]{{64}} .*Run this again"
    ):
        get(blobs, tmp_path / "file", expected=expected)
    assert (tmp_path / "file").read_bytes() == b"what was there before"
    assert names(tmp_path) == ["file", "served"]
    blobs.flip_a_bit = False
    assert get(blobs, tmp_path / "file", expected=expected).read_bytes() == blob.read_bytes()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_is_not_tried_again(blobs, tmp_path, status):
    blobs.status = status
    with pytest.raises(models.SourceError, match=f"answered HTTP {status}. Check the URL"):
        get(blobs, tmp_path / "file")
    assert len(blobs.requests) == 1
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_server_in_trouble_is_asked_again_and_then_given_up(blobs, tmp_path, status):
    blobs.status = status
    with pytest.raises(models.SourceError, match=f"HTTP {status}"):
        get(blobs, tmp_path / "file", attempts=3)
    assert len(blobs.requests) == 3


def test_a_dead_address_says_so(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/blob"
    with pytest.raises(models.SourceError, match=r"no connection \(Connection refused\)"):
        models.download(url, tmp_path / "file", progress=False, attempts=2, pause=0.001)
    assert names(tmp_path) == []


def test_loopback_is_reached_past_a_proxy(blob, blobs, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert get(blobs, tmp_path / "file").read_bytes() == blob.read_bytes()


def test_too_little_room_is_said_before_the_first_byte(blobs, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(models.ModelError, match=r"is full \(file needs 1\.0 MB, 0\.0 MB are free\)\. Free some"):
        get(blobs, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_a_disk_that_fills_up_leaves_what_was_there(blobs, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"what was there before")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(models.ModelError, match="is full"):
        get(blobs, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"what was there before"


@pytest.mark.slow
def test_a_killed_process_leaves_a_part_that_the_next_one_completes(blob, blobs, tmp_path):
    # The file must not fit into the sockets' buffers, or the child might have it all before it is killed.
    blob.write_bytes(blob.read_bytes() * 24)
    script = (
        "import os, signal, sys; from workshop import models\n"
        "sys.modules['workshop.models.download'].tqdm = lambda **_: Bar()\n"
        "class Bar:\n"
        "    seen = 0\n"
        "    def __enter__(self): return self\n"
        "    def __exit__(self, *_): pass\n"
        "    def update(self, n):\n"
        "        self.seen += n\n"
        "        if self.seen > 9_000_000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "models.download(sys.argv[1], sys.argv[2])\n"
    )
    command = [sys.executable, "-c", script, f"{blobs.url}blob", str(tmp_path / "file")]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert "file.part" in names(tmp_path) and "file" not in names(tmp_path)
    target = get(blobs, tmp_path / "file", expected=models.sha256(blob))
    assert target.stat().st_size == blob.stat().st_size
    assert blobs.requests[-1].status == 206 and blobs.requests[-1].start > 8_000_000


def test_progress_is_shown_when_wanted(blobs, tmp_path, capsys):
    models.download(f"{blobs.url}blob", tmp_path / "file")
    out, err = capsys.readouterr()
    assert "100%" in out and "1.05M/1.05M" in out and not err


# From S3.


class Body:
    def __init__(self, data: bytes, breaks: bool):
        self.data, self.breaks = data, breaks

    def iter_chunks(self, size):
        half = len(self.data) // 2
        yield self.data[:half]
        if self.breaks:
            raise botocore.exceptions.ResponseStreamingError(error="reset")
        yield self.data[half:]


class FakeS3:
    """`get_object` of one bucket, as boto3 answers it; breaks off the first `breaks` transfers halfway."""

    def __init__(self, folder: Path, breaks: int = 0, refusal: tuple[str, int] | None = None):
        self.folder, self.breaks, self.refusal, self.calls = folder, breaks, refusal, []

    def get_object(self, Bucket, Key, Range="bytes=0-", IfMatch=None):
        self.calls.append((Bucket, Key, Range))
        code, status = self.refusal or (("NoSuchKey", 404) if not (self.folder / Key).is_file() else (None, 200))
        data = (self.folder / Key).read_bytes() if not code else b""
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        if not code and IfMatch not in (None, etag):
            code, status = "PreconditionFailed", 412
        if code:
            answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise botocore.exceptions.ClientError(answer, "GetObject")
        rest = data[int(Range.removeprefix("bytes=").removesuffix("-")) :]
        self.breaks -= 1
        return {"Body": Body(rest, self.breaks >= 0), "ContentLength": len(rest), "ETag": etag}


def test_s3_goes_on_where_it_stopped(blob, tmp_path):
    s3 = FakeS3(blob.parent, breaks=2)
    target = models.download("s3://bucket/blob", tmp_path / "file", progress=False, pause=0.001, s3=s3)
    assert target.read_bytes() == blob.read_bytes()
    assert s3.calls == [("bucket", "blob", f"bytes={start}-") for start in (0, 1 << 19, (1 << 19) + (1 << 18))]


def test_s3_begins_again_when_the_object_changed(blob, tmp_path):
    with pytest.raises(models.SourceError, match="kept"):
        models.download(
            "s3://bucket/blob", tmp_path / "file", progress=False, attempts=1, s3=FakeS3(blob.parent, breaks=1)
        )
    blob.write_bytes(blob.read_bytes()[::-1])
    target = models.download("s3://bucket/blob", tmp_path / "file", progress=False, s3=FakeS3(blob.parent))
    assert target.read_bytes() == blob.read_bytes()


@pytest.mark.parametrize(("code", "status"), [("NoSuchKey", 404), ("AccessDenied", 403), ("NoSuchBucket", 404)])
def test_s3_refusals_name_the_code_and_the_action(blob, tmp_path, code, status):
    s3 = FakeS3(blob.parent, refusal=(code, status))
    with pytest.raises(models.SourceError, match=rf"S3 answered {code} \({status}\).*s3:GetObject"):
        models.download("s3://bucket/blob", tmp_path / "file", progress=False, s3=s3)
    assert len(s3.calls) == 1


def test_s3_in_trouble_is_asked_again(blob, tmp_path):
    s3 = FakeS3(blob.parent, refusal=("SlowDown", 503))
    with pytest.raises(models.SourceError, match="SlowDown"):
        models.download("s3://bucket/blob", tmp_path / "file", progress=False, attempts=3, pause=0.001, s3=s3)
    assert len(s3.calls) == 3


# A whole model.


def check(files: models.ModelFiles, source: Path) -> None:
    """`files` is the model of `source`, widened, with a manifest of its own that holds."""
    assert names(files.folder) == sorted([*models.FILES, models.MANIFEST, models.RECORD])
    assert files.labels == LABELS
    assert files.sha256 == models.sha256(files.params) == files.sums[models.PARAMS]
    original, widened = mx.nd.load(str(source / models.PARAMS)), mx.nd.load(str(files.params))
    assert original.keys() == widened.keys()
    for name, value in widened.items():
        assert value.dtype is np.float32
        assert (value.asnumpy() == original[name].asnumpy()).all()
    for name in (models.SYMBOL, models.SYNSET):
        assert (files.folder / name).read_bytes() == (source / name).read_bytes()
    sums = subprocess.run(["sha256sum", "--check", "--quiet", models.MANIFEST], cwd=files.folder, check=False)
    assert sums.returncode == 0


@pytest.mark.slow
def test_practice_is_fetched_from_the_repository(source, store, monkeypatch):
    monkeypatch.setattr(sys.modules["workshop.models.fetch"], "PRACTICE", source)
    files = models.fetch("practice", store, progress=False)
    check(files, source)
    assert files.name == "practice" and files.folder == store / "practice"
    assert files.verification == "SHA-256 as published in SHA256SUMS; float16 widened to float32"
    assert models.fetched("practice", store) == files


@pytest.mark.slow
def test_the_shipped_practice_model_is_whole(tmp_path):
    files = models.fetch("practice", tmp_path, progress=False)
    assert len(files.labels) == 10 and files.labels[0] == "n01440764 tench, Tinca tinca"


@pytest.mark.parametrize("kind", ["folder", "http", "s3"])
@pytest.mark.slow
def test_a_model_of_ones_own(source, store, server, kind):
    place = {"folder": str(source), "http": f"{server.url}tiny/", "s3": "s3://bucket/tiny"}[kind]
    files = models.fetch(place, store, progress=False, s3=FakeS3(source.parent))
    check(files, source)
    assert files.name == "tiny"
    assert models.fetched(place, store) == files


@pytest.mark.slow
def test_float32_parameters_stay_as_they_are(tmp_path, store):
    source = write_model(tmp_path / "wide", dtype="float32")
    files = models.fetch(source, store, progress=False)
    assert files.params.read_bytes() == (source / models.PARAMS).read_bytes()
    assert "widened" not in files.verification


@pytest.mark.slow
def test_what_is_here_already_is_not_fetched_again(store, server):
    first = models.fetch(f"{server.url}tiny", store, progress=False)
    server.requests.clear()
    assert models.fetch(f"{server.url}tiny", store, progress=False) == first
    assert [request.path for request in server.requests] == ["/tiny/SHA256SUMS"]
    assert names(store) == [".tiny.lock", "tiny"]


@pytest.mark.slow
def test_a_source_that_changed_is_fetched_again(source, store, server):
    first = models.fetch(f"{server.url}tiny", store, progress=False)
    write_model(source, seed=1)
    second = models.fetch(f"{server.url}tiny", store, progress=False)
    check(second, source)
    assert second.sha256 != first.sha256


@pytest.mark.slow
def test_a_copy_that_was_damaged_is_fetched_again(source, store):
    files = models.fetch(source, store, progress=False)
    files.params.write_bytes(files.params.read_bytes()[:-1])
    with pytest.raises(models.CorruptedError, match="Run 01_fetch_models"):
        models.fetched(source, store)
    check(models.fetch(source, store, progress=False), source)


@pytest.mark.slow
def test_one_source_never_stands_in_for_another_of_the_same_name(tmp_path, source, store):
    other = write_model(tmp_path / "elsewhere" / "tiny", seed=2)
    models.fetch(source, store, progress=False)
    with pytest.raises(models.SourceError, match="holds the model of"):
        models.fetched(other, store)
    check(models.fetch(other, store, progress=False), other)


@pytest.mark.slow
def test_a_download_that_breaks_off_leaves_the_old_model_and_resumes(source, store, server):
    first = models.fetch(f"{server.url}tiny", store, progress=False)
    write_model(source, seed=1)
    (source / models.SYNSET).unlink()
    with pytest.raises(models.SourceError, match="404"):
        models.fetch(f"{server.url}tiny", store, progress=False)
    assert models.open_model(store / "tiny") == first
    (source / models.SYNSET).write_text("".join(f"{label}\n" for label in LABELS))
    server.requests.clear()
    check(models.fetch(f"{server.url}tiny", store, progress=False), source)
    assert [Path(request.path).name for request in server.requests] == [models.MANIFEST, models.SYNSET]


@pytest.mark.parametrize("name", models.FILES)
def test_a_file_that_is_not_the_listed_one_is_refused(source, store, name):
    data = bytearray((source / name).read_bytes())
    data[len(data) // 2] ^= 1
    (source / name).write_bytes(data)
    with pytest.raises(models.CorruptedError, match=rf"{name} is corrupted or another file: expected SHA-256"):
        models.fetch(source, store, progress=False)
    assert not (store / "tiny").exists()


def test_no_manifest_no_model(source, store):
    (source / models.MANIFEST).unlink()
    with pytest.raises(models.SourceError, match=r"needs SHA256SUMS beside its files: `sha256sum model-symbol\.json"):
        models.fetch(source, store, progress=False)


@pytest.mark.parametrize("text", ["", "not a manifest", "0" * 63 + "  model-symbol.json\n"])
def test_a_manifest_that_lists_too_little_is_refused(source, store, text):
    (source / models.MANIFEST).write_text(text)
    with pytest.raises(models.CorruptedError, match="no SHA-256 of model-symbol"):
        models.fetch(source, store, progress=False)


# What does not belong together, though each file is the listed one.


def rewrite(source: Path, name: str, data: bytes) -> None:
    (source / name).write_bytes(data)
    write_sums(source)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (models.SYMBOL, b"{}", "not a network that MXNet can read"),
        (models.SYMBOL, b"<html>gone</html>", "not a network that MXNet can read"),
        (models.PARAMS, b"<html>gone</html>", "no parameters that MXNet can read"),
        (models.PARAMS, b"", "no parameters that MXNet can read"),
        (models.SYNSET, b"", "is empty"),
        (models.SYNSET, b"\xff\xfe\n", "not UTF-8"),
        (models.SYNSET, b"n01 first\nn02 second\n", "has 2 lines; the last layer has 3 rows"),
        (models.SYMBOL, tiny_network(4).tojson().encode(), r"fc1_weight should be \(4, 4\), got \(3, 4\)"),
    ],
)
def test_files_that_are_no_model_are_refused(source, store, name, data, message):
    rewrite(source, name, data)
    with pytest.raises(models.CorruptedError, match=message):
        models.fetch(source, store, progress=False)
    assert not (store / "tiny").exists()


def test_a_missing_parameter_is_named(source, store):
    values = mx.nd.load(str(source / models.PARAMS))
    del values["aux:bn0_moving_var"]
    mx.nd.save(str(source / models.PARAMS), values)
    write_sums(source)
    with pytest.raises(models.CorruptedError, match=r"aux:bn0_moving_var should be \(4,\), got nothing"):
        models.fetch(source, store, progress=False)


# The ImageNet model's mirrors.


@pytest.mark.slow
def test_imagenet_comes_from_the_first_mirror_that_answers(source, store, mirrors):
    files = models.fetch("imagenet", store, progress=False, mirrors=mirrors)
    check(files, source)
    assert files.name == "imagenet" and files.source == "imagenet"
    assert files.verification.startswith("SHA-256 recorded on the first fetch: the mirrors publish none")


@pytest.mark.slow
def test_imagenet_that_is_here_needs_no_network(store, mirrors, server):
    first = models.fetch("imagenet", store, progress=False, mirrors=mirrors)
    server.requests.clear()
    assert models.fetch("imagenet", store, progress=False, mirrors=mirrors) == first
    assert not server.requests


@pytest.mark.slow
def test_imagenet_must_match_what_the_first_fetch_recorded(source, store, mirrors):
    files = models.fetch("imagenet", store, progress=False, mirrors=mirrors)
    files.symbol.write_text("damaged")
    write_model(source, seed=3)
    with pytest.raises(
        models.SourceError, match=r"resnet-18-0000.params is corrupted or another file: expected SHA-256"
    ):
        models.fetch("imagenet", store, progress=False, mirrors=mirrors)
    write_model(source)
    check(models.fetch("imagenet", store, progress=False, mirrors=mirrors), source)


@pytest.mark.slow
def test_a_mirror_that_breaks_off_for_good_gives_way_to_the_next(source, store, server, mirrors):
    shutil.copytree(source, source.parent / "half")
    (source.parent / "half" / "resnet-18-0000.params").unlink()
    first = models.Mirror(f"{server.url}half/", f"{server.url}synset.txt")
    check(models.fetch("imagenet", store, progress=False, mirrors=(first, mirrors[1])), source)


def test_no_mirror_says_which_were_tried_and_what_to_do_instead(store, mirrors, server):
    gone = (mirrors[0], models.Mirror(f"{server.url}lost/", f"{server.url}lost/synset.txt"))
    with pytest.raises(models.SourceError) as caught:
        models.fetch("imagenet", store, progress=False, mirrors=gone)
    message = str(caught.value)
    assert message.index(gone[0].prefix) < message.index(gone[1].prefix)
    assert "HTTP 404" in message and "model='practice'" in message and models.MANIFEST in message
    assert not (store / "imagenet").exists()


def test_the_mirrors_are_the_published_ones():
    for mirror in models.MIRRORS:
        assert mirror.prefix.endswith("/") and mirror.synset.endswith("/synset.txt")
        assert mirror.urls()[models.PARAMS] == f"{mirror.prefix}resnet-18-0000.params"
    assert models.MIRRORS[0].prefix == "http://data.mxnet.io/models/imagenet/resnet/18-layers/"
    assert models.MIRRORS[0].synset == "http://data.mxnet.io/models/imagenet/resnet/synset.txt"


# What is no source.


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("practise", "no folder"),
        ("ftp://host/model", "begins with s3://, https:// or http://"),
        ("file:///etc", "begins with s3://, https:// or http://"),
        ("https://", "begins with s3://, https:// or http://"),
        ("https://host/what?name", "last part is made of letters"),
    ],
)
def test_what_is_no_source_is_refused(store, source, message):
    with pytest.raises(models.ModelError, match=message):
        models.fetch(source, store, progress=False)


def test_a_model_that_was_never_fetched_says_what_to_run(store):
    with pytest.raises(models.SourceError, match="Run 01_fetch_models"):
        models.fetched("practice", store)


@pytest.mark.slow
def test_two_at_once_do_not_get_in_each_others_way(source, store):
    script = (
        "import sys; from workshop import models\n"
        "print(models.fetch(sys.argv[1], sys.argv[2], progress=False).sha256)\n"
    )
    command = [sys.executable, "-c", script, str(source), str(store)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate()[0] for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(answers) == 1
