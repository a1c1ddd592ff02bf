"""What a cell shows when something outside of the lab's code fails: one sentence, in a kernel of its own."""

import socket

import httpx
import pytest
import requests
from botocore import exceptions
from jupyter_client.manager import start_new_kernel

from workshop import emulator_record
from workshop.emulator import free_port
from workshop.lab import Lab, LabError
from workshop.scale import load
from workshop.user_errors import explained


def raised(work) -> Exception:
    with pytest.raises(Exception) as caught:
        work()
    return caught.value


@pytest.fixture
def nobody(monkeypatch, tmp_path) -> str:
    """The URL of an emulator that does not run, in a folder that has started none."""
    monkeypatch.setattr(emulator_record, "FOLDER", tmp_path)
    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    return address


# Each raises what the libraries raise, against a port where nobody listens.
CALLS = {
    "boto3": lambda lab, url: lab.client("s3", retries={"total_max_attempts": 1}).list_buckets(),
    "a resource": lambda lab, url: list(lab.resource("s3").Bucket("a").objects.all()),
    "a waiter": lambda lab, url: lab.client("cloudformation").get_waiter("stack_exists").wait(StackName="a"),
    "requests": lambda lab, url: requests.get(url, timeout=5),
    "httpx": lambda lab, url: httpx.get(url),
    "the load generator": lambda lab, url: load.run(url, [b"a"], clients=2),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.slow
def test_an_emulator_that_does_not_run(nobody, call, monkeypatch):
    monkeypatch.setattr(load, "NOBODY_SECONDS", 0.2)
    lab = Lab("local", "us-east-1", "predictions")
    said = str(explained(raised(lambda: CALLS[call](lab, f"{nobody}/predict"))))
    assert said.startswith(f"the emulator does not answer at {nobody}: run notebook 00_start_here"), said


@pytest.mark.slow
def test_an_emulator_of_this_folder_on_another_port_is_named(nobody, running_emulator):
    lab = Lab("local", "us-east-1", "predictions")
    said = str(explained(raised(lambda: CALLS["boto3"](lab, nobody))))
    assert said == (
        f"the emulator does not answer at {nobody}; this folder's emulator runs on port {running_emulator}: "
        f"give the command PORT={running_emulator}"
    )
    with pytest.raises(LabError) as refused:
        _ = lab.identity
    assert str(refused.value) == said


def test_a_connection_that_breaks(nobody):
    with socket.create_server(("127.0.0.1", int(nobody.rpartition(":")[2]))) as listener:
        listener.settimeout(0.01)

        def ask():
            client = Lab("local", "us-east-1", "predictions").client("sqs", retries={"total_max_attempts": 1})
            client.meta.events.register("before-send", lambda **_: listener.close())
            client.list_queues()

        assert nobody in str(explained(raised(ask)))


def answered(code: str, message: str = "The thing does not exist.") -> exceptions.ClientError:
    return exceptions.ClientError({"Error": {"Code": code, "Message": message}}, "DescribeThing")


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (exceptions.NoCredentialsError(), "no AWS credentials were found: run `aws configure`"),
        (exceptions.ProfileNotFound(profile="mine"), "(mine).*aws configure"),
        (exceptions.UnauthorizedSSOTokenError(), "aws sso login"),
        (answered("ExpiredToken"), "rejected the credentials (ExpiredToken): renew them"),
        (answered("NoSuchBucket"), "rejected DescribeThing (NoSuchBucket).*: it was deleted.*00_start_here"),
        (answered("ResourceNotFoundException"), "00_start_here"),
        (answered("ValidationError", "Stack with id a does not exist"), "00_start_here"),
        (answered("404", "Not Found"), "00_start_here"),
        (answered("AccessDenied", "not allowed"), "04_edit_iam"),
        (
            answered("ThrottlingException", "Rate exceeded"),
            "rejected DescribeThing (ThrottlingException): Rate exceeded",
        ),
        (exceptions.WaiterError("StackExists", "Max attempts", answered("AccessDenied").response), "04_edit_iam"),
        (exceptions.EndpointConnectionError(endpoint_url="https://s3.amazonaws.com/a"), "is this machine online"),
        (exceptions.ReadTimeoutError(endpoint_url="http://localhost:4566/"), "emulator does not answer"),
        (ExceptionGroup("", [KeyError("a"), exceptions.NoCredentialsError()]), "no AWS credentials"),
        (LabError("run notebook 05"), "^run notebook 05$"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_aws_says_is_one_sentence_with_what_to_do(problem, words):
    said = str(explained(problem))
    assert "\n" not in said
    for part in words.split(".*"):
        assert part.strip("^$").removeprefix("(").removesuffix(")") in said


def test_a_cause_is_told_and_what_happened_on_the_way_is_not():
    def caused():
        try:
            raise exceptions.NoCredentialsError()
        except exceptions.NoCredentialsError as error:
            raise RuntimeError("outer") from error

    def another():
        try:
            raise exceptions.NoCredentialsError()
        except exceptions.NoCredentialsError:
            print({}["a mistake in the handler"])

    def checked():
        try:
            raise exceptions.NoCredentialsError()
        except exceptions.NoCredentialsError as error:
            raise AssertionError("a check") from error

    assert "credentials" in str(explained(raised(caused)))
    assert explained(raised(another)) is None and explained(raised(checked)) is None
    assert explained(ConnectionRefusedError()) is None and explained(ValueError("a")) is None


@pytest.fixture(scope="module")
def kernel():
    manager, client = start_new_kernel()
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def errors(client, code: str, interrupt=None) -> tuple[str, list[dict]]:
    """Run a cell: the reply's status, and the errors that it shows."""
    shown = []

    def hook(message):
        if message["msg_type"] == "error":
            shown.append(message["content"])
        if interrupt and message["msg_type"] == "stream":
            interrupt()

    reply = client.execute_interactive(code, timeout=60, output_hook=hook)
    return reply["content"]["status"], shown


@pytest.mark.slow
def test_a_cell_shows_the_sentence_and_fails_all_the_same(kernel, tmp_path):
    manager, client = kernel
    port = free_port()
    setup = f"""
import os; os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:{port}"
from pathlib import Path; from workshop import emulator_record; emulator_record.FOLDER = Path({str(tmp_path)!r})
from workshop import user_errors; from workshop.lab import Lab
user_errors.show_sentences()
lab = Lab("local", "us-east-1", "predictions")"""
    assert errors(client, setup) == ("ok", [])
    status, (error,) = errors(client, "def f():\n    lab.client('s3').list_buckets()\nf()")
    assert status == "error" and error["ename"] == "CellError"
    (line,) = error["traceback"]
    assert f"the emulator does not answer at http://127.0.0.1:{port}: run notebook 00_start_here" in line
    for code, name in (
        ("1 / 0", "ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("assert lab is None", "AssertionError"),
    ):
        status, (error,) = errors(client, code)
        assert status == "error" and error["ename"] == name
        assert name == "SyntaxError" or "\n".join(error["traceback"]).count("\n") > 1
    status, (error,) = errors(
        client, "import time; print('on', flush=True); time.sleep(30)", interrupt=manager.interrupt_kernel
    )
    assert status == "error" and error["ename"] == "KeyboardInterrupt"
