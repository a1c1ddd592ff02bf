"""The decoder's process: what it answers, and what it survives."""

import faulthandler
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from predict import images
from predict.decoder import DecoderProcess, Prepared, memory_limit, network_input
from predict.errors import PredictionError, failure
from predict.fitting import MAX_SIDE, Fitting
from workshop import ROOT

PREDICT = ROOT / "lambda_src" / "predict"


@pytest.fixture
def decoder_of():
    started = []

    def make(*arguments, **options) -> DecoderProcess:
        started.append(DecoderProcess(*arguments, **options))
        return started[-1]

    yield make
    for decoder in started:
        decoder.stop()


def jpeg(width: int = 300, height: int = 200, colour: int = 99) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (colour, 0, 255 - colour)).save(file, "JPEG")
    return file.getvalue()


def refusal(decoder: DecoderProcess, data: bytes = b"x", max_seconds: float = 10.0) -> PredictionError:
    with pytest.raises(PredictionError) as caught:
        decoder.prepare(data, max_seconds)
    return caught.value


def processor_time(pid: int) -> int:
    """What a process has used, in hundredths of a second."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_answers_what_images_does(decoder_of):
    decoder = decoder_of()
    for data in (jpeg(), jpeg(3000, 1000), jpeg(1, 1)):
        batch = np.asarray(decoder.prepare(data).batch)
        assert (batch.shape, batch.dtype) == ((1, 3, 224, 224), np.uint8)
        assert (batch == np.asarray(images.network_input(data))).all()


def test_what_is_said_of_a_picture_comes_with_it(decoder_of):
    decoder = decoder_of()
    whole, part = jpeg(400, 300), jpeg(400, 300)[:-60]
    assert decoder.prepare(whole).said == {}
    made = decoder.prepare(part)
    assert (made.partial, len(made.notes)) == (True, 1)
    assert made.said == {"partial": True, "notes": [images.read(part, enough=448).notes[0]]}


def test_one_process_decodes_all_images(decoder_of):
    decoder = decoder_of()
    assert decoder.pid is None
    decoder.prepare(jpeg())
    pid = decoder.pid
    refusal(decoder, b"no image")
    decoder.prepare(jpeg())
    assert pid not in (None, os.getpid())
    assert decoder.pid == pid


def test_an_expected_image_may_come_at_once_late_or_not_at_all(decoder_of):
    decoder = decoder_of()
    decoder.expect()  # starts it
    pid = decoder.pid
    for pause in (0.0, 0.001, 0.05):
        decoder.expect()
        time.sleep(pause)
        assert decoder.prepare(jpeg()).batch.nbytes == 3 * 224 * 224
    for _ in range(3):
        decoder.expect()
    refusal(decoder, b"")
    assert decoder.pid == pid


def test_expecting_an_image_keeps_the_child_awake_for_a_moment_only(decoder_of):
    decoder = decoder_of()
    decoder.prepare(jpeg())
    decoder.expect()
    time.sleep(0.05)
    used = processor_time(decoder.pid)
    time.sleep(0.3)
    assert processor_time(decoder.pid) <= used + 1


def test_expecting_an_image_of_a_dead_child_does_no_harm(decoder_of):
    decoder = decoder_of()
    decoder.prepare(jpeg())
    os.kill(decoder.pid, signal.SIGKILL)
    decoder.expect()
    decoder.expect()
    assert decoder.prepare(jpeg()).batch.nbytes == 3 * 224 * 224


@pytest.mark.parametrize(
    ("data", "code"), [(b"", "not_an_image"), (b"<html>", "not_an_image"), (jpeg()[:300], "image_broken")]
)
def test_a_refusal_comes_back_as_it_was_raised(decoder_of, data, code):
    with pytest.raises(PredictionError) as caught:
        images.network_input(data)
    here, there = caught.value, refusal(decoder_of(), data)
    assert there.code == here.code == code
    assert (there.status, there.message) == (here.status, here.message)


@pytest.mark.slow
def test_a_large_body_goes_through(decoder_of):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
    Image.fromarray(noise).save(file, "BMP")
    assert len(file.getvalue()) > 8_000_000
    assert abs(np.asarray(decoder_of().prepare(file.getvalue()).batch).mean() - 127.5) < 1


@pytest.mark.parametrize("fitting", [Fitting(), Fitting(224, 0.875), Fitting(96), Fitting(MAX_SIDE, 1.0)], ids=str)
def test_the_child_fits_the_picture_as_it_is_told(decoder_of, fitting):
    decoder, data = decoder_of(), jpeg()
    for told in (fitting, Fitting(), fitting):  # each picture anew
        batch = np.asarray(decoder.prepare(data, fitting=told).batch)
        assert batch.shape == (1, 3, told.size, told.size)
        assert (batch == np.asarray(images.network_input(data, told))).all()


def test_a_decode_that_takes_too_long_is_given_up_and_its_process_ended(decoder_of):
    def work(data: bytes, fitting: Fitting) -> Prepared:
        if data == b"slow":
            time.sleep(60)
        return network_input(data, fitting)

    decoder = decoder_of(work)
    decoder.prepare(jpeg())
    pid, begun = decoder.pid, time.monotonic()
    problem = refusal(decoder, b"slow", 0.3)
    assert (problem.code, problem.status) == ("time_limit", 504)
    assert time.monotonic() - begun < 5
    assert not alive(pid)
    decoder.prepare(jpeg())  # the next picture gets another process


@pytest.mark.parametrize(
    ("signal_number", "code"),
    [(signal.SIGSEGV, "image_broken"), (signal.SIGABRT, "image_broken"), (signal.SIGKILL, "image_too_large")],
)
def test_a_crash_is_the_images_fault_and_not_the_next_ones(decoder_of, signal_number, code):
    def work(data: bytes, fitting: Fitting) -> Prepared:
        if data == b"crash":
            faulthandler.disable()  # pytest's would print a stack
            os.kill(os.getpid(), signal_number)
        return network_input(data, fitting)

    decoder = decoder_of(work)
    problem = refusal(decoder, b"crash")
    assert (problem.code, problem.status) == (code, 413 if code == "image_too_large" else 422)
    assert decoder.prepare(jpeg()).batch.nbytes == 3 * 224 * 224


def test_a_process_that_died_between_two_images_is_replaced(decoder_of):
    decoder = decoder_of()
    decoder.prepare(jpeg())
    os.kill(decoder.pid, signal.SIGKILL)  # no waiting: the parent may or may not know it yet
    decoder.prepare(jpeg())


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "mode"), [("PNG", "1"), ("PNG", "RGBA"), ("GIF", "L"), ("TIFF", "I;16")])
def test_a_picture_of_all_the_pixels_that_are_allowed_fits_into_the_functions_memory(decoder_of, kind, mode):
    options = {"TIFF": {"compression": "tiff_lzw"}, "PNG": {"compress_level": 1}}.get(kind, {})
    file = io.BytesIO()
    Image.new(mode, (8192, 6144)).save(file, kind, **options)
    limit = memory_limit({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"})
    assert decoder_of(limit=limit).prepare(file.getvalue()).batch.nbytes == 3 * 224 * 224


def test_memory_is_limited(decoder_of):
    decoder = decoder_of(lambda data, fitting: Prepared(bytes(500 << 20)[:0]), limit=200 << 20)
    problem = refusal(decoder)
    assert (problem.code, problem.status) == ("image_too_large", 413)


@pytest.mark.parametrize(
    ("environ", "megabytes"),
    [
        ({}, 1300),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}, 1319),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}, 64),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}, 64),
        ({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240"}, 9790),
    ],
)
def test_the_limit_follows_lambdas_memory(environ, megabytes):
    assert memory_limit(environ) == megabytes << 20


def test_the_decoder_prints_nothing_and_writes_no_file(decoder_of, tmp_path, capfd):
    def work(data: bytes, fitting: Fitting) -> Prepared:
        os.write(1, b"to standard output")
        os.write(2, b"to standard error")
        try:
            (tmp_path / "file").write_bytes(b"content")
        except OSError:
            raise failure("image_broken", "no file was written") from None
        return Prepared(b"")

    assert refusal(decoder_of(work)).message == "no file was written"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(0)", "sys.exit()"])
def test_the_decoder_ends_with_its_parent(end):
    script = f"""
import os, sys, time
from predict.decoder import DecoderProcess, Prepared
decoder = DecoderProcess(lambda data, fitting: Prepared(b"") if data else time.sleep(60))
try:
    decoder.prepare(b"x")
except Exception:
    pass
print(decoder.pid, flush=True)
{end}
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    pid = int(done.stdout)
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)
