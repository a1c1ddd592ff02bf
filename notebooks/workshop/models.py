"""Fetch a model's three files from where the reader chooses, and prove that they are the ones meant.

A model is `resnet-18-symbol.json` (the network), `resnet-18-0000.params` (its parameters) and `resnet-18-synset.txt`
(one line per class), with `SHA256SUMS` beside them in the form of `sha256sum`. A model may have a second symbol,
`resnet-18-int8-symbol.json`: the same network over the same parameters, in 8-bit arithmetic (`workshop.quantization`).
A source is one of

- `practice`: shipped in this repository;
- `imagenet`: MXNet's own, from the first mirror that answers;
- a folder, or an `s3://`, `https://` or `http://` prefix, that holds the three files and their `SHA256SUMS`.

No source stands in for another. Files arrive beside their place (`.part`), are checked, and are moved into it all at
once, so that a killed process, a full disk or a dead network leaves what was there before.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import numpy as np
import requests
from tqdm import tqdm

from workshop import ROOT, ToldError

STEM = "resnet-18"
SYMBOL = f"{STEM}-symbol.json"
PARAMS = f"{STEM}-0000.params"
SYNSET = f"{STEM}-synset.txt"
FILES = (SYMBOL, PARAMS, SYNSET)
INT8_SYMBOL = f"{STEM}-int8-symbol.json"  # optional
SYMBOLS = {"float32": SYMBOL, "int8": INT8_SYMBOL}
MANIFEST = "SHA256SUMS"
RECORD = "source.json"

PRACTICE = ROOT / "models" / "practice"
FETCHED = ROOT / "models" / "fetched"

INPUT_SHAPE = (1, 3, 224, 224)
CHUNK = 1 << 16
TIMEOUT = (10, 30)  # seconds to connect, and to wait for the next bytes


class ModelError(ToldError):
    """A model's files cannot be had or are not what they should be. The message says what to do."""


class SourceError(ModelError):
    """A source does not answer, or does not have the file."""


class CorruptedError(ModelError):
    """A file's bytes are not the ones meant."""


class _InterruptedTransferError(Exception):
    """The transfer stopped; trying again may help."""


@dataclass(frozen=True)
class Mirror:
    """One place that has MXNet's files: `prefix` (ends with `/`) for symbol and params, `synset` the labels' own
    URL.
    """

    prefix: str
    synset: str

    def urls(self) -> dict[str, str]:
        return {SYMBOL: self.prefix + SYMBOL, PARAMS: self.prefix + PARAMS, SYNSET: self.synset}


_MXNET = "models/imagenet/resnet/"
_SCALA = "https://s3.us-east-2.amazonaws.com/scala-infer-models/resnet-18/"
MIRRORS = (
    Mirror(f"http://data.mxnet.io/{_MXNET}18-layers/", f"http://data.mxnet.io/{_MXNET}synset.txt"),
    Mirror(_SCALA, f"{_SCALA}synset.txt"),
    Mirror(
        f"http://data.mxnet.io.s3-website-us-west-1.amazonaws.com/{_MXNET}18-layers/",
        f"http://data.mxnet.io.s3-website-us-west-1.amazonaws.com/{_MXNET}synset.txt",
    ),
)


@dataclass(frozen=True)
class ModelFiles:
    """A model on this machine, verified: where its files lie, its labels, and what vouches for it."""

    folder: Path
    name: str
    source: str
    vouched: str
    labels: list[str]
    sums: dict[str, str]

    @property
    def symbol(self) -> Path:
        return self.folder / SYMBOL

    @property
    def params(self) -> Path:
        return self.folder / PARAMS

    @property
    def synset(self) -> Path:
        return self.folder / SYNSET

    @property
    def manifest(self) -> Path:
        return self.folder / MANIFEST

    @property
    def sha256(self) -> str:
        """The SHA-256 of the params file: what the function's answers call `model.sha256`."""
        return self.sums[PARAMS]

    def symbol_of(self, precision: str) -> Path:
        """The symbol that computes in `precision`. Raises ModelError where the model has none."""
        if precision not in SYMBOLS:
            raise ModelError(f"precision {precision!r}: expected {' or '.join(map(repr, SYMBOLS))}.")
        if SYMBOLS[precision] not in self.sums:
            raise ModelError(
                f"The model {self.name} has no {SYMBOLS[precision]}: deploy it with precision 'float32', or make the "
                f"file from pictures like those that it will see: `python -m workshop.quantization "
                f"{self.folder} <folder of pictures>`."
            )
        return self.folder / SYMBOLS[precision]

    def __iter__(self) -> Iterator[Path]:
        """The files that the model store holds, the manifest last."""
        return iter((*(self.folder / name for name in self.sums), self.manifest))


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse_manifest(text: str, where: str) -> dict[str, str]:
    """The sums of a model's files out of a `SHA256SUMS`; the int8 symbol may be missing there, and no other.

    Raises CorruptedError when one is missing or malformed.
    """
    sums = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"([0-9a-fA-F]{64}) [ *](.+)", line.rstrip()):
            sums[match[2]] = match[1].lower()
    if missing := [name for name in FILES if name not in sums]:
        raise CorruptedError(
            f"{where} has no SHA-256 of {', '.join(missing)}. Write it where the files are, with "
            f"`sha256sum {' '.join(FILES)} > {MANIFEST}`."
        )
    return {name: sums[name] for name in (*FILES, INT8_SYMBOL) if name in sums}


def write_manifest(folder: Path) -> Path:
    """Write `SHA256SUMS` for the model's files in `folder`, in the form of `sha256sum`."""
    names = [name for name in (*FILES, INT8_SYMBOL) if (folder / name).exists()]
    _save(folder / MANIFEST, "".join(f"{sha256(folder / name)}  {name}\n" for name in names).encode())
    return folder / MANIFEST


def _check_sum(path: Path, expected: str, where: str, remedy: str) -> None:
    got = sha256(path)
    if got != expected:
        raise CorruptedError(
            f"{where} is corrupted or another file: expected SHA-256 {expected}, got {got} "
            f"({path.stat().st_size:,} bytes). {remedy}"
        )


def model_name(source: str | Path) -> str:
    """What a model is called in folders and in the store: the last part of its source."""
    name = str(source).rstrip("/").rsplit("/", 1)[-1]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ModelError(
            f"model {str(source)!r}: expected 'practice', 'imagenet', a folder, or an s3:// or https:// prefix, whose "
            "last part is made of letters, digits, '.', '_' and '-'."
        )
    return name


def _place(source: str | Path) -> str:
    """The source in full, so that the same words always mean the same place."""
    text = str(source)
    if text in ("practice", "imagenet"):
        return text
    if re.match(r"(s3|https?)://[^/]", text):
        return text.rstrip("/")
    if "://" in text:
        raise ModelError(f"model {text!r}: expected a folder, or a prefix that begins with s3://, https:// or http://.")
    folder = Path(text).expanduser().resolve()
    if not folder.is_dir():
        raise SourceError(
            f"model {text!r}: expected 'practice', 'imagenet', a prefix, or a folder; no folder {folder} here."
        )
    return str(folder)


# Reading: one opener for each kind of place, each able to begin in the middle.


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
        raise SourceError(f"{url}: {error}. Check the address.") from error
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
        raise SourceError(f"{url} answered HTTP {status}. Check the address, and that it may be read.")
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
    resume = {"Range": f"bytes={start}-", "IfMatch": version} if start else {}
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
def _disk(folder: Path):
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


def _save(path: Path, data: bytes) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


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
    failures, furthest = 0, part.stat().st_size if part.exists() else 0
    with _disk(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                _receive(url, part, note, target.name, progress, s3)
                break
            except _InterruptedTransferError as error:
                reached = part.stat().st_size if part.exists() else 0
                failures = 1 if reached > furthest else failures + 1
                furthest = max(furthest, reached)
                if failures >= attempts:
                    kept = f" {megabytes(reached)} are kept: the next run goes on from there." if reached else ""
                    raise SourceError(f"{url}: {error}.{kept} Check the network and run this again.") from error
                time.sleep(pause * 2 ** (failures - 1))
        if expected:
            try:
                _check_sum(
                    part, expected, url, "It was not kept. Run this again; if it comes again, the source is wrong."
                )
            except CorruptedError:
                part.unlink()
                note.unlink(missing_ok=True)
                raise
        part.replace(target)
        note.unlink(missing_ok=True)
    return target


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
            _save(note, f"{url}\n{stream.version}".encode())
        for chunk in stream.chunks:
            file.write(chunk)
            bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())
    if stream.total is not None and part.stat().st_size != stream.total:
        raise _InterruptedTransferError(f"the connection broke off at byte {part.stat().st_size:,} of {stream.total:,}")


# What the files hold.


def read_labels(synset: Path) -> list[str]:
    """The classes in the order of the network's outputs: one line each, `n02102040 English springer, …`."""
    try:
        labels = [line.strip() for line in Path(synset).read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise CorruptedError(f"{SYNSET} is not UTF-8 text ({error.reason}). Fetch the model again.") from error
    if not labels:
        raise CorruptedError(f"{SYNSET} is empty: expected one line per class. Fetch the model again.")
    return labels


def check_structure(folder: Path) -> list[str]:
    """Check that symbol, params and synset belong together, and return the labels.

    The symbol must parse, every parameter it names must be there with the shape that an input of (1, 3, 224, 224)
    asks for, and the last layer must have as many rows as there are labels. Raises CorruptedError.
    """
    import mxnet as mx  # takes a second, and most readers of this module need no network

    folder = Path(folder)
    labels = read_labels(folder / SYNSET)
    try:
        symbol = mx.sym.load_json((folder / SYMBOL).read_text(encoding="utf-8"))
    except (mx.MXNetError, ValueError) as error:
        raise CorruptedError(f"{SYMBOL} is not a network that MXNet can read. Check its source.") from error
    try:
        values = mx.nd.load(str(folder / PARAMS))
    except mx.MXNetError as error:
        raise CorruptedError(f"{PARAMS} holds no parameters that MXNet can read. Check its source.") from error
    if "data" not in symbol.list_arguments() or not isinstance(values, dict):
        raise CorruptedError(
            f"{SYMBOL} has no input 'data', or {PARAMS} no names: expected an image classifier of MXNet."
        )
    arguments, outputs, auxiliary = symbol.infer_shape(data=INPUT_SHAPE)
    wanted = dict(zip((f"arg:{name}" for name in symbol.list_arguments()), arguments, strict=True))
    wanted |= dict(zip((f"aux:{name}" for name in symbol.list_auxiliary_states()), auxiliary, strict=True))
    for name, shape in wanted.items():
        if name in ("arg:data", "arg:softmax_label"):
            continue
        got = values[name].shape if name in values else "nothing"
        if got != shape:
            raise CorruptedError(
                f"{PARAMS} does not fit {SYMBOL}: {name} should be {shape}, got {got}. Check the source."
            )
    if outputs[0] != (1, len(labels)):
        raise CorruptedError(
            f"{SYNSET} has {len(labels)} lines; the last layer has {outputs[0][1]} rows. Check the source."
        )
    return labels


def widen(params: Path) -> bool:
    """Turn float16 parameters into float32, in place and in one step; True if there were any.

    The function takes float32 only. Each float16 number is a float32 number too: nothing is rounded.
    """
    import mxnet as mx

    try:
        values = mx.nd.load(str(params))
    except mx.MXNetError as error:
        raise CorruptedError(f"{PARAMS} holds no parameters that MXNet can read. Check its source.") from error
    if not isinstance(values, dict) or all(value.dtype is np.float32 for value in values.values()):
        return False
    part = Path(params).with_name(f"{Path(params).name}.wide.part")
    needed = sum(4 * value.size for value in values.values())
    if needed > shutil.disk_usage(part.parent).free:
        raise OSError(errno.ENOSPC, f"the widened parameters need {megabytes(needed)}")
    try:
        mx.nd.save(str(part), {name: value.astype("float32") for name, value in values.items()})
    except mx.MXNetError as error:
        raise ModelError(f"{part} could not be written: {str(error).strip().splitlines()[0]}") from error
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(params)
    return True


# Fetching a whole model.


def fetch(
    source: str | Path = "practice",
    store: Path = FETCHED,
    *,
    progress: bool = True,
    mirrors: Sequence[Mirror] = MIRRORS,
    attempts: int = 4,
    s3=None,
) -> ModelFiles:
    """Bring a model to `store/<name>`, verified, as float32, with a `SHA256SUMS` of its own, and return its files.

    A model that is there already, whole and from the same source, is not fetched again. `imagenet` tries `mirrors` in
    order; nobody publishes its sums, so the first fetch records them, says so in `ModelFiles.vouched`, and any later
    fetch must match. Raises ModelError and its kinds (see `download` and `check_structure`).
    """
    place, store = _place(source), Path(store)
    name = model_name(place)
    with _disk(store):
        store.mkdir(parents=True, exist_ok=True)
        with (store / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return _fetch(place, store / name, store / f".{name}.part", progress, mirrors, attempts, s3)


def _fetch(place, folder, staging, progress, mirrors, attempts, s3) -> ModelFiles:
    known = _read_record(folder) if folder.exists() else {}
    known = known if known.get("source") == place else {}
    published = None
    if place != "imagenet":
        staging.mkdir(parents=True, exist_ok=True)
        prefix = f"{PRACTICE if place == 'practice' else place}/"
        published = _published_sums(prefix, staging, attempts, s3)
    if known and published in (None, known["sums"]):
        with contextlib.suppress(SourceError, CorruptedError):
            files = open_model(folder)
            shutil.rmtree(staging, ignore_errors=True)
            return files
    staging.mkdir(parents=True, exist_ok=True)
    (staging / INT8_SYMBOL).unlink(missing_ok=True)  # one that an interrupted fetch left may belong to no file here
    expected = published or known.get("sums") or {}
    if published:
        origin = prefix
        _download_all({name: prefix + name for name in published}, staging, expected, progress, attempts, s3)
    else:
        origin = _from_first_mirror(mirrors, staging, expected, progress, attempts)
    sums = {name: sha256(staging / name) for name in published or FILES}
    if published:
        vouched = f"SHA-256 as published in {MANIFEST}"
    else:
        vouched = "SHA-256 recorded on the first fetch: the mirrors publish none"
    if widen(staging / PARAMS):
        vouched += "; float16 widened to float32"
    check_structure(staging)
    record = {"source": place, "origin": origin, "vouched": vouched, "sums": sums}
    _save(staging / RECORD, json.dumps(record, indent=1).encode())
    write_manifest(staging)
    _swap(staging, folder)
    return open_model(folder)


def _published_sums(prefix: str, staging: Path, attempts: int, s3) -> dict[str, str]:
    target = staging / "published"
    for old in staging.glob("published*"):
        old.unlink()
    try:
        download(prefix + MANIFEST, target, progress=False, attempts=attempts, s3=s3)
    except SourceError as error:
        raise SourceError(
            f"{error} A model of your own needs {MANIFEST} beside its files: "
            f"`sha256sum {' '.join(FILES)} > {MANIFEST}`."
        ) from error
    return parse_manifest(target.read_text(errors="replace"), prefix + MANIFEST)


def _download_all(
    urls: Mapping[str, str], staging: Path, expected: Mapping[str, str], progress, attempts, s3=None
) -> None:
    for name, url in urls.items():
        if (staging / name).exists() and sha256(staging / name) == expected.get(name):
            continue
        (staging / name).unlink(missing_ok=True)
        download(url, staging / name, expected.get(name), progress=progress, attempts=attempts, s3=s3)


def _from_first_mirror(mirrors: Sequence[Mirror], staging: Path, expected, progress, attempts) -> str:
    tried = []
    for mirror in mirrors:
        try:
            _download_all(mirror.urls(), staging, expected, progress, attempts)
            return mirror.prefix
        except (SourceError, CorruptedError) as error:
            tried.append(f"  {mirror.prefix}\n    {error}")
    raise SourceError(
        "No mirror gave MXNet's ImageNet model. Tried, in order:\n" + "\n".join(tried) + "\nMXNet is retired and its "
        "mirrors may be gone. Use model='practice', or put "
        f"{', '.join(FILES)} and {MANIFEST} into a folder and give that folder as model."
    )


def _swap(staging: Path, folder: Path) -> None:
    """Put the finished folder in place of the old one. Killed in between, the old one is gone and the next fetch
    mends it.
    """
    for leftover in staging.iterdir():
        if leftover.name not in (*FILES, INT8_SYMBOL, MANIFEST, RECORD):
            leftover.unlink()
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.replace(old)
    staging.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def _read_record(folder: Path) -> dict:
    try:
        record = json.loads((folder / RECORD).read_text())
        return record if {"source", "vouched", "sums"} <= record.keys() else {}
    except (OSError, ValueError, AttributeError):
        return {}


def open_model(folder: Path) -> ModelFiles:
    """Check a model's folder against its `SHA256SUMS` and return its files.

    Raises SourceError when a file is missing, CorruptedError when one is not the file that the manifest lists.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise SourceError(f"{folder / MANIFEST} is missing. Run 01_fetch_models with the same model first.")
    sums = parse_manifest((folder / MANIFEST).read_text(errors="replace"), str(folder / MANIFEST))
    for name in sums:
        if not (folder / name).is_file():
            raise SourceError(f"{folder / name} is missing. Run 01_fetch_models with the same model first.")
        _check_sum(folder / name, sums[name], str(folder / name), "Run 01_fetch_models with the same model again.")
    record = _read_record(folder)
    return ModelFiles(
        folder=folder,
        name=folder.name,
        source=record.get("source", str(folder)),
        vouched=record.get("vouched", f"SHA-256 as in {MANIFEST}"),
        labels=read_labels(folder / SYNSET),
        sums=sums,
    )


def fetched(source: str | Path = "practice", store: Path = FETCHED) -> ModelFiles:
    """The model that 01_fetch_models brought here for the same source, verified. Raises ModelError, with what to
    run.
    """
    place = _place(source)
    folder = Path(store) / model_name(place)
    files = open_model(folder)
    if files.source != place:
        raise SourceError(
            f"{folder} holds the model of {files.source}, not {place}. Run 01_fetch_models with model={source!r}."
        )
    return files
