"""A forked process, and the messages between it and its parent."""

import os
import signal
import time

import pytest

from predict.child import Child


def echo(messages):
    while True:
        messages.send(messages.receive())


@pytest.fixture
def start():
    started = []

    def begin(work):
        started.append(Child(work))
        return started[-1]

    yield begin
    for child in started:
        child.end()


@pytest.mark.parametrize("size", [0, 1, 100_000, 10_000_000])
def test_a_message_arrives_whole(start, size):
    def answer(messages):
        message = messages.receive()
        messages.send(message[::-1])

    messages = start(answer).messages
    sent = os.urandom(size)
    messages.send(memoryview(sent))
    assert messages.wait(10)
    assert messages.receive() == sent[::-1]


def test_a_message_of_more_bytes_than_allowed_is_not_read(start):
    messages = start(echo).messages
    messages.send(b"12345")
    with pytest.raises(OSError, match="a message of 5 bytes, and at most 4 are taken"):
        messages.receive(4)


def test_nothing_said_is_waited_for_as_long_as_asked(start):
    messages = start(echo).messages
    begun = time.monotonic()
    assert not messages.wait(0.2)
    assert time.monotonic() - begun >= 0.2
    assert not messages.wait(-1)


def fail(messages):
    raise ValueError


def be_killed(messages):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("work", "code"), [(lambda messages: None, 0), (fail, 1), (be_killed, -signal.SIGKILL)])
def test_its_end_is_read_as_the_end_of_file_and_its_exit_code_is_known(start, work, code):
    child = start(work)
    assert child.messages.wait(10)
    with pytest.raises(EOFError):
        child.messages.receive()
    assert child.exit_code(10) == code


def test_it_runs_until_it_is_ended_and_leaves_no_process(start):
    child = start(echo)
    assert child.exit_code() is None
    child.end()
    assert child.exit_code() == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    child.end()
