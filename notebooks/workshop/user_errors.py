"""Failures outside of the lab's code, in one sentence with the step that helps: a cell shows it, and no traceback."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from urllib.parse import SplitResult, urlsplit

from workshop import UserError

AGAIN = "run notebook 00_start_here and those after it again, or `make deploy`"
CREDENTIALS = "run `aws configure` or `aws sso login`, or choose target='local'"
_REFUSED_CREDENTIALS = (
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
)
_MISSING = ("404", "NoSuch", "NotFound", "DoesNotExist", "does not exist")
_DENIED = ("403", "AccessDenied", "Unauthorized", "not authorized")


class CellError(UserError):
    """Why a cell could not do its work, and what to do about it."""


def explained(problem: BaseException) -> UserError | None:
    """The sentence in place of a traceback; None for a problem of which nothing is known here.

    Looks at what botocore, requests and httpx raise, also as the cause of another error or within a group.
    """
    for error in [] if isinstance(problem, AssertionError) else _chain(problem):
        if isinstance(error, UserError):
            return error
        sentence = _of_aws(error) or _of_connection(error)
        if sentence:
            return CellError(sentence)
    return None


def show_sentences() -> None:
    """In a notebook's kernel: from here on an error that can be explained shows its sentence alone.

    The cell fails as it did, for papermill and nbval too, and all other errors keep their traceback.
    """
    if "IPython" not in sys.modules:
        return
    from IPython import get_ipython

    shell = get_ipython()
    if shell is not None and not shell.custom_exceptions:  # else somebody has plans of his own
        shell.set_custom_exc((Exception,), _show)


def _show(
    shell: Any, kind: type[BaseException], problem: BaseException, trace: TracebackType, tb_offset: int | None = None
) -> None:
    said = explained(problem)
    if said:
        kind, problem, trace = type(said), said, None
    shell.showtraceback((kind, problem, trace), tb_offset=tb_offset, running_compiled_code=True)


def _chain(problem: BaseException) -> list[BaseException]:
    """The error, what is within it, and what it was raised from."""
    found, left = [], [problem]
    while left:
        error = left.pop(0)
        if error not in found:
            found.append(error)
            left += error.exceptions if isinstance(error, BaseExceptionGroup) else ()
            left += [error.__cause__] if error.__cause__ else []
    return found


def _of_aws(error: BaseException) -> str | None:
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        return _of_answer(error.response.get("Error", {}), error.operation_name)
    if isinstance(error, exceptions.WaiterError) and isinstance(error.last_response, dict):
        said = error.last_response.get("Error")
        return _of_answer(said, error.kwargs["name"]) if said else None
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return f"no AWS credentials were found: {CREDENTIALS}"
    if isinstance(error, exceptions.SSOError | exceptions.TokenRetrievalError | exceptions.ProfileNotFound):
        return f"the AWS credentials cannot be used ({error}): {CREDENTIALS}"
    if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError):
        return _unreachable(str(error.kwargs.get("endpoint_url") or ""))
    return None


def _of_answer(said: Mapping[str, Any], operation: str) -> str:
    code, message = said.get("Code", "no code"), said.get("Message", "").rstrip(". ")
    sentence = f"AWS rejected {operation} ({code}): {message}"
    if code in _REFUSED_CREDENTIALS:
        return f"AWS rejected the credentials ({code}): renew them ({CREDENTIALS})"
    if any(word in code or word in message for word in _DENIED):
        return f"{sentence}: run notebook 04_edit_iam, which gives the roles their permissions"
    if any(word in code or word in message for word in _MISSING):
        return f"{sentence}: it was deleted, or the emulator was started anew: {AGAIN}"
    return sentence


def _of_connection(error: BaseException) -> str | None:
    import httpx
    import requests

    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return _unreachable((error.request.url if error.request is not None else "") or "")
    if isinstance(error, httpx.TransportError):
        return _unreachable(str(error._request.url) if error._request is not None else "")
    return None


def _unreachable(url: str) -> str:
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
    if not place:
        return f"the connection failed: where the emulator does not run any more, {AGAIN}"
    if _is_this_machine(parts.hostname or ""):
        return f"the emulator does not answer at {place}{_elsewhere(parts) or f': {AGAIN}'}"
    return f"{place} does not answer: is this machine online? Then run the cell again"


def _elsewhere(parts: SplitResult) -> str:
    from workshop.emulator_record import on_another_port

    with contextlib.suppress(ValueError):
        return on_another_port(parts.port)
    return ""


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
