"""One file from a URL, a bucket or a path, whole or not at all: resumed, bounded and verified."""

import contextlib
import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import requests
import tenacity
from tqdm import tqdm

from workshop.models.files import CorruptedError, ModelError, SourceError, check_sum, megabytes, save

CHUNK = 1 << 16
TIMEOUT = (10, 30)  # seconds to connect, and to wait for the next bytes


class _InterruptedTransferError(Exception):
    """The transfer stopped; trying again may help."""


@dataclass
class _Stream:
    start: int
    total: int | None
    version: str
    chunks: Iterator[bytes]


def _open_http(url: str, start: int, version: str) -> _Stream:
    headers = {"Accept-Encoding": "identity"}
    if start:
        # If-Range (RFC 9110, section 13.1.5): the rest if the file is still the same, else all of it.
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    # A proxy of the environment cannot reach a server on this very machine.
    proxies = {"http": "", "https": ""} if urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1") else None
    try:
        response = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT, proxies=proxies)
    except requests.exceptions.InvalidURL as error:
        raise SourceError(f"{url}: {error}. Check the URL.") from error
    except requests.RequestException as error:
        raise _InterruptedTransferError(_reason(error)) from error
    status = response.status_code
    span = re.match(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", "")) if status == 206 else None
    if status == 416 or (status == 206 and not (span and int(span[1]) == start)):
        response.close()
        if not start:
            raise SourceError(f"{url} answered {status} to a request for the whole file. Check the server.")
        return _open_http(url, 0, "")
    if status in (408, 429) or status >= 500:
        response.close()
        raise _InterruptedTransferError(f"HTTP {status}")
    if status not in (200, 206):
        response.close()
        raise SourceError(f"{url} answered HTTP {status}. Check the URL, and that it may be read.")
    etag = response.headers.get("ETag", "")
    version = etag if etag.startswith('"') else response.headers.get("Last-Modified", "")
    encoded = response.headers.get("Content-Encoding", "identity") != "identity"
    length = "" if encoded else response.headers.get("Content-Length", "")
    total = int(span[2]) if span else int(length) if length.isdigit() else None

    def chunks():
        try:
            yield from response.iter_content(CHUNK)
        except requests.RequestException as error:
            raise _InterruptedTransferError(_reason(error)) from error
        finally:
            response.close()

    return _Stream(start if span else 0, total, version, chunks())


def _reason(error: Exception) -> str:
    """The innermost cause in a few words: requests wraps urllib3, which wraps the socket's error."""
    kinds = {
        requests.ConnectTimeout: "no connection in time",
        requests.Timeout: "no bytes in time",
        requests.exceptions.SSLError: "TLS failed",
        requests.exceptions.ChunkedEncodingError: "the connection broke off",
        requests.ConnectionError: "no connection",
    }
    text = next((text for kind, text in kinds.items() if isinstance(error, kind)), type(error).__name__)
    detail = re.search(
        r"(Name or service not known|Connection refused|Temporary failure in name resolution|reset by peer)", str(error)
    )
    return f"{text} ({detail[1]})" if detail else text


def _open_s3(url: str, start: int, version: str, client=None) -> _Stream:
    bucket, _, key = url.removeprefix("s3://").partition("/")
    client = client or boto3.client("s3")
    resume: dict[str, Any] = {"Range": f"bytes={start}-", "IfMatch": version} if start else {}
    try:
        answer = client.get_object(Bucket=bucket, Key=key, **resume)
    except botocore.exceptions.ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        if start and status in (412, 416):
            return _open_s3(url, 0, "", client)
        if status == 429 or status >= 500:
            raise _InterruptedTransferError(f"S3 answered {code}") from error
        raise SourceError(
            f"{url}: S3 answered {code} ({status}). Check the name, and that these credentials allow s3:GetObject."
        ) from error
    except (botocore.exceptions.ConnectionError, botocore.exceptions.HTTPClientError) as error:
        raise _InterruptedTransferError(str(error)) from error
    except botocore.exceptions.BotoCoreError as error:
        raise SourceError(f"{url}: {error}. Give boto3 credentials and a region.") from error

    def chunks():
        try:
            yield from answer["Body"].iter_chunks(CHUNK)
        except (botocore.exceptions.HTTPClientError, botocore.exceptions.IncompleteReadError) as error:
            raise _InterruptedTransferError("the connection broke off") from error

    return _Stream(start, start + answer["ContentLength"], answer["ETag"], chunks())


def _open_path(path: str) -> _Stream:
    try:
        size = Path(path).stat().st_size
        file = Path(path).open("rb")  # noqa: SIM115 - the generator below closes it
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}. Put the file there, or choose another model.") from error

    def chunks():
        with file:
            yield from iter(lambda: file.read(CHUNK), b"")

    return _Stream(0, size, "", chunks())


def _open(url: str, start: int, version: str, s3=None) -> _Stream:
    if url.startswith("s3://"):
        return _open_s3(url, start, version, s3)
    if "://" in url:
        return _open_http(url, start, version)
    return _open_path(url)


@contextlib.contextmanager
def disk_errors(folder: Path):
    """Turn the disk's refusals into words."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ModelError(
                f"{folder} is full ({error.strerror}). Free some disk space and run this again."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise ModelError(
                f"{folder} cannot be written ({error.strerror}). Make it writable and run this again."
            ) from error
        raise


def download(
    url: str,
    target: Path,
    expected: str | None = None,
    *,
    progress: bool = True,
    attempts: int = 4,
    pause: float = 0.5,
    s3=None,
) -> Path:
    """Fetch one file to `target`, by way of `<target>.part`, and resume where an earlier attempt stopped.

    `url`: http(s)://, s3:// or a path. `expected`: its SHA-256. A transfer that breaks off is taken up again at the
    byte it reached, as long as the server says that the file is unchanged (HTTP Range with If-Range, S3 IfMatch), and
    given up when `attempts` in a row fail without getting further, with growing pauses from `pause` seconds; the
    `.part` stays for the next call. `s3`: a boto3 client, else the environment's.

    Raises SourceError when the file is not to be had, CorruptedError (and drops the bytes) when its SHA-256 is not the
    expected one, ModelError when the disk is full or cannot be written. `target` then is as it was.
    """
    target = Path(target)
    part, note = target.with_name(target.name + ".part"), target.with_name(target.name + ".part.version")
    failures, furthest = 0, size_of(part)

    def is_stuck(_: tenacity.RetryCallState) -> bool:
        nonlocal failures, furthest
        reached = size_of(part)
        failures = 1 if reached > furthest else failures + 1
        furthest = max(furthest, reached)
        return failures >= attempts

    with disk_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_InterruptedTransferError),
            stop=is_stuck,
            wait=lambda _: pause * 2 ** (failures - 1),
            reraise=True,
        )
        try:
            retrying(_receive, url, part, note, target.name, progress, s3)
        except _InterruptedTransferError as error:
            kept = f" {megabytes(furthest)} are kept: the next run goes on from there." if size_of(part) else ""
            raise SourceError(f"{url}: {error}.{kept} Check the network and run this again.") from error
        if expected:
            try:
                check_sum(
                    part, expected, url, "It was not kept. Run this again; if it comes again, the source is wrong."
                )
            except CorruptedError:
                part.unlink()
                note.unlink(missing_ok=True)
                raise
        part.replace(target)
        note.unlink(missing_ok=True)
    return target


def size_of(file: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return file.stat().st_size if file.exists() else 0


def _receive(url: str, part: Path, note: Path, label: str, progress: bool, s3) -> None:
    """One attempt: append to `part` what it lacks of the version that `note` names, or begin again."""
    start, version = 0, ""
    if part.exists() and note.exists():
        noted_url, _, version = note.read_text().partition("\n")
        start = part.stat().st_size if version and noted_url == url else 0
    stream = _open(url, start, version, s3)
    if stream.total is not None and stream.total - stream.start > (free := shutil.disk_usage(part.parent).free):
        raise OSError(
            errno.ENOSPC, f"{label} needs {megabytes(stream.total - stream.start)}, {megabytes(free)} are free"
        )
    bar = tqdm(
        total=stream.total, initial=stream.start, desc=label, unit="B", unit_scale=True, file=sys.stdout,
        disable=not progress, ncols=100,
    )  # fmt: skip
    with bar, part.open("r+b" if stream.start else "wb") as file:
        file.truncate(stream.start)
        file.seek(stream.start)
        if stream.start == 0:
            save(note, f"{url}\n{stream.version}".encode())
        for chunk in stream.chunks:
            file.write(chunk)
            bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if stream.total is not None and part.stat().st_size != stream.total:
        raise _InterruptedTransferError(f"the connection broke off at byte {part.stat().st_size:,} of {stream.total:,}")
