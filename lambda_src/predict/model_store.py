"""The model store: a model's files and their SHA-256 manifest under one prefix of an S3 bucket."""

import contextlib
import functools
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any, NamedTuple

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from . import credentials
from .description import NOTHING_SAID, Description
from .errors import PredictionError, failure
from .fitting import DEFAULT, Fitting
from .model_files import ABOUT, MANIFEST, parse_manifest, precision_of
from .params_file import layout
from .predictor import Predictor, load_library

_MUCH = 1 << 20  # bytes that take longer than a thread takes to start

GetObject = Callable[[str], bytes | memoryview]


class Digest:
    """The SHA-256 of `data`; that of much data is computed in a thread of its own, which begins now."""

    def __init__(self, data: bytes | memoryview):
        self._hash = hashlib.sha256()
        self._thread = threading.Thread(target=self._hash.update, args=(data,))
        self._large = len(data) >= _MUCH
        if self._large:
            self._thread.start()
        else:
            self._thread.run()

    def hexdigest(self) -> str:
        """In hexadecimal digits, once it is computed."""
        if self._large:
            self._thread.join()
        return self._hash.hexdigest()


class Model(NamedTuple):
    """A loaded model: `name` is its folder in the store, `precision` what its network computes in, `sha256` the digest
    of its params file as the manifest lists it, `description` what its model.json says.

    `verify` waits until the weights are held to that digest, and raises PredictionError 503 where they have another.
    """

    predictor: Predictor
    labels: list[str]
    name: str
    precision: str
    sha256: str
    description: Description = NOTHING_SAID
    verify: Callable[[], None] = lambda: None

    @property
    def told(self) -> dict[str, Any]:
        """An answer's `model`."""
        return {"name": self.name, "precision": self.precision, "sha256": self.sha256, **self.description.told}


class ModelStore(NamedTuple):
    """Where the model's files are. `prefix` has no slash at either end; it may be empty."""

    bucket: str
    prefix: str
    params_file: str
    symbol_file: str
    synset_file: str

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ModelStore":
        """Read MODEL_STORE_BUCKET_NAME, MODEL_STORE_PREFIX and MODEL_{PARAMS,SYMBOL,SYNSET}_FILE_NAME.

        Raises PredictionError 503 `misconfigured` where one is missing (the prefix may be empty).
        """
        files = ("MODEL_PARAMS_FILE_NAME", "MODEL_SYMBOL_FILE_NAME", "MODEL_SYNSET_FILE_NAME")
        names = ("MODEL_STORE_BUCKET_NAME", *files)
        missing = [name for name in names if not environ.get(name)]
        if missing:
            raise failure(
                "misconfigured", f"the function's environment lacks {', '.join(missing)}: deploy the stack again"
            )
        bucket, params, symbol, synset = (environ[name] for name in names)
        return cls(bucket, environ.get("MODEL_STORE_PREFIX", "").strip("/"), params, symbol, synset)

    @property
    def name(self) -> str:
        """The model's name: the last part of the prefix, without the digest of its files (`models/<name>/<digest>`)."""
        if versioned := re.search(r"/([^/]+)/[0-9a-f]{12}$", self.prefix):
            return versioned[1]
        return self.prefix.rpartition("/")[2] or self.bucket

    @property
    def precision(self) -> str:
        """`int8` or `float32`, as the symbol's name says: both are over the same parameters."""
        return precision_of(self.symbol_file)

    def key(self, file: str) -> str:
        """The object's key."""
        return f"{self.prefix}/{file}" if self.prefix else file

    def load(
        self,
        max_seconds: float = 25.0,
        get_object: GetObject | None = None,
        described: Callable[[Description], None] = lambda _: None,
    ) -> Model:
        """As `bind`, with all files held to the manifest. Raises what `bind` and `Model.verify` do."""
        return verified(self.bind(max_seconds, get_object, described))

    def bind(
        self,
        max_seconds: float = 25.0,
        get_object: GetObject | None = None,
        described: Callable[[Description], None] = lambda _: None,
    ) -> Model:
        """Download the files at once, check each against the manifest, and bind the network.

        The digest of the weights takes 30 ms of a cold start. It is computed while the network is bound and predicts:
        nothing of the model may be told before its `verify`. libmxnet loads meanwhile, too. `get_object(key)` returns
        an object's bytes; by default `get_from_s3`. `described` is called as soon as it is known what the model says of
        itself, long before the weights are there.

        Raises PredictionError: 503 with what is wrong, 504 `time_limit` after `max_seconds`.
        """
        get = get_object or get_from_s3(self.bucket, max_seconds)

        def fetch(file: str) -> tuple[bytes | memoryview, Digest]:
            data = get(self.key(file))
            return data, Digest(data)

        with ThreadPoolExecutor(6) as pool:
            manifest, about = pool.submit(fetch, MANIFEST), pool.submit(fetch, ABOUT)
            weights = pool.submit(fetch, self.params_file)
            small = {file: pool.submit(fetch, file) for file in (self.symbol_file, self.synset_file)}
            described_by = pool.submit(self._description, manifest, about, described)
            with contextlib.suppress(OSError):  # heard when the network is bound
                load_library()
            listed = bytes(manifest.result()[0])
            symbol, synset = (bytes(each.result()[0]) for each in small.values())
            check_sums(listed, {file: each.result()[1].hexdigest() for file, each in small.items()})
            labels, description = read_labels(synset), described_by.result()

            def verify(digest: Digest) -> None:
                check_sums(listed, {self.params_file: digest.hexdigest()})

            def arrived() -> bytes | memoryview:
                data, digest = weights.result()
                if layout(memoryview(data)) is None:
                    verify(digest)  # MXNet's own reader gets no file that may be damaged
                return data

            try:
                rejection = description.rejection
                shown = rejection.shown_by(symbol) if rejection else symbol
                predictor = Predictor(shown, arrived, labels, description.fitting.size)
                if rejection:
                    rejection.check(predictor.shapes)
            except (ValueError, OSError) as problem:  # OSError: libmxnet, or a library that it needs, is missing
                verify(weights.result()[1])
                raise failure(
                    "model_not_usable", f"the model {self.name} cannot run ({problem}): deploy another model"
                ) from problem
        sha256 = parse_manifest(listed.decode("utf-8", "replace")).get(self.params_file, "")
        later = functools.cache(functools.partial(verify, weights.result()[1]))  # keeps the digest, and no file
        return Model(predictor, labels, self.name, self.precision, sha256, description, later)

    def _description(self, manifest: Future, about: Future, described: Callable[[Description], None]) -> Description:
        """What the model says of itself; the manifest says whether it does: S3 may refuse what is not there."""
        listed = bytes(manifest.result()[0])
        found = NOTHING_SAID
        if ABOUT in parse_manifest(listed.decode("utf-8", "replace")):
            data, digest = about.result()
            check_sums(listed, {ABOUT: digest.hexdigest()})
            try:
                found = Description.read(bytes(data))
            except ValueError as problem:
                raise failure(
                    "model_not_usable",
                    f"the {ABOUT} of {self.name} is not usable ({problem}): mend it, and upload the model again",
                ) from problem
        described(found)
        return found


# The execution environment's model, and the loading of it that began ahead of the first request.
_model: Model | None = None
_ahead: Future | None = None
_described_ahead: Future | None = None  # what that model says of itself
_loader: ThreadPoolExecutor | None = None  # its thread


def load_ahead() -> Future:
    """Begin to load the environment's model in a thread of its own, for the first `loaded_model` to take."""
    global _ahead, _described_ahead, _loader
    pool = _loader = ThreadPoolExecutor(1)
    description: Future = Future()

    def load() -> Model:
        try:
            return ModelStore.from_environment().bind(described=description.set_result)
        finally:
            if not description.done():  # whoever waits would wait on: a cancelled future wakes nobody
                description.set_result(NOTHING_SAID)

    _described_ahead = description
    _ahead = pool.submit(load)
    pool.shutdown(wait=False)
    return _ahead


def settle() -> None:
    """Wait for the loading that began ahead, keep its model, and let its thread end. A failure leaves no model."""
    global _ahead, _loader, _model
    if _loader:
        _loader.shutdown(wait=True)
    if _ahead and not _ahead.exception():
        _model = _ahead.result()
        with contextlib.suppress(PredictionError):
            verified(_model)
    _ahead = _loader = None


def expected_fitting(max_seconds: float) -> Fitting:
    """How the model wants its pictures, as far as that is known before it is loaded; else the usual fitting."""
    if _model is not None:
        return _model.description.fitting
    if _ahead and _described_ahead and wait([_described_ahead], max_seconds).done:
        return _described_ahead.result().fitting
    return DEFAULT


def present_model() -> Model | None:
    """The environment's model, where a request has taken it before."""
    return _model


def loaded_model(max_seconds: float = 25.0) -> Model:
    """As `bound_model`, with its weights verified."""
    return verified(bound_model(max_seconds))


def bound_model(max_seconds: float = 25.0) -> Model:
    """The environment's model: the one that is there, the one that `load_ahead` began to load, or one loaded now.

    Nothing of it may be told before `verified`. What failed ahead is tried again now, since time may have passed:
    Lambda can stop an environment between its start and its first request. Raises what `ModelStore.bind` does; then no
    model is kept, and the next call tries again.
    """
    global _ahead, _model
    if _model is not None:
        return _model
    deadline = time.monotonic() + max_seconds
    if _ahead:
        if not wait([_ahead], max_seconds).done:
            raise failure("time_limit", "the model did not load in time: try again")
        loading, _ahead = _ahead, None
        if not loading.exception():
            _model = loading.result()
            return _model
    _model = ModelStore.from_environment().bind(deadline - time.monotonic())
    return _model


def verified(model: Model) -> Model:
    """The model, once its weights are held to the manifest. Raises PredictionError 503, and keeps it no longer."""
    global _model
    try:
        model.verify()
    except PredictionError:
        if _model is model:
            _model = None
        model.predictor.close()
        raise
    return model


def check_sums(manifest: bytes, digests: Mapping[str, str]) -> None:
    """Hold files, by name their SHA-256 in hex, to the manifest, which has the format of sha256sum.

    Raises PredictionError 503 `model_file_mismatch` for a file that differs, or that the manifest does not list.
    """
    listed = parse_manifest(manifest.decode("utf-8", "replace"))
    for file, digest in digests.items():
        if file not in listed:
            raise failure("model_file_mismatch", f"{MANIFEST} does not list {file}: upload the model's files again")
        if listed[file] != digest:
            raise failure(
                "model_file_mismatch",
                f"{file} does not match {MANIFEST}: expected SHA-256 {listed[file][:12]}…, got {digest[:12]}…; "
                "upload the model's files again",
            )


def read_labels(synset: bytes) -> list[str]:
    """The labels, one a line, blank ones left out. Raises PredictionError 503 for what is not UTF-8."""
    try:
        lines = synset.decode("utf-8").splitlines()
    except UnicodeDecodeError as problem:
        raise failure(
            "model_not_usable", "the synset file is not UTF-8 text: upload the model's files again"
        ) from problem
    return [line.strip() for line in lines if line.strip()]


def object_store(bucket: str, max_seconds: float, retries: int) -> S3Store:
    """A bucket of S3, whose requests take at most so long and are tried again so often; several threads may use it.

    Region, credentials (`credentials.current`) and endpoint are the environment's, by the names that AWS's SDKs use.
    boto3 would do the same: importing it and making its client takes ten times as long (benchmarks/README.md).

    Raises PredictionError 503 where the environment has no credentials.
    """
    keys = credentials.current()
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
    china = region.startswith("cn-") and not os.environ.get("AWS_ENDPOINT_URL")
    endpoint = {"endpoint": f"https://s3.{region}.amazonaws.com.cn"} if china else {}
    return S3Store(
        bucket,
        config={**endpoint, **keys} or None,  # type: ignore[arg-type]  # names that it knows
        client_options={"allow_http": True, "connect_timeout": "2s", "timeout": f"{max_seconds:.3f}s"},
        retry_config={"max_retries": retries, "retry_timeout": timedelta(seconds=max_seconds)},
    )


def get_from_s3(bucket: str, max_seconds: float) -> GetObject:
    """A function that gets the object of a key from S3 as bytes; it may be called from several threads.

    Raises PredictionError 503 where the environment has no credentials; the function does what `s3_error` says, and
    504 `time_limit` after `max_seconds`.
    """
    deadline = time.monotonic() + max_seconds
    store = object_store(bucket, max_seconds, retries=1)

    def get(key: str) -> memoryview:
        try:
            return memoryview(obstore.get(store, key).bytes())
        except (BaseError, OSError) as problem:
            if time.monotonic() >= deadline:
                raise failure(
                    "time_limit", f"the model store took too long to deliver {_file(key)}: try again"
                ) from None
            raise s3_error(problem, bucket, key) from None

    return get


def s3_error(problem: Exception, bucket: str, key: str) -> PredictionError:
    """What a failed s3:GetObject means, from the exception of obstore; S3's own code is in its text.

    Without s3:ListBucket S3 answers AccessDenied for a key that does not exist:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    file, text = _file(key), str(problem).partition("\n\nDebug source")[0]
    answered = re.search(r"<Code>(\w+)</Code>", text)
    code = answered[1] if answered else type(problem).__name__
    detail = f"s3://{bucket}/{key}: {text}"
    if code == "NoSuchBucket":
        return failure("model_file_missing", "the model store's bucket does not exist: deploy the stack again", detail)
    if isinstance(problem, FileNotFoundError):
        return failure("model_file_missing", f"the model store has no {file}: upload the model's files", detail)
    if isinstance(problem, (PermissionDeniedError, UnauthenticatedError)):
        return failure(
            "model_store_denied",
            f"the model store denied s3:GetObject on {file} ({code}): grant it to the function's role",
            detail,
        )
    return failure(
        "model_store_unreachable",
        f"the model store did not deliver {file} (s3:GetObject, {code}): try again",
        detail,
    )


def _file(key: str) -> str:
    return key.rpartition("/")[2]
