"""The model store: three files and their SHA-256 manifest under one prefix of an S3 bucket."""

import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from errors import PredictionError, error
from predictor import ModelError, Predictor

MANIFEST = "SHA256SUMS"
_CHUNK = 1 << 20

GetObject = Callable[[str, str, float], bytes]


@dataclass(frozen=True)
class Model:
    """A loaded model: `name` is the last part of the store's prefix, `sha256` the digest of its params file."""

    predictor: Predictor
    labels: list[str]
    name: str
    sha256: str


@dataclass(frozen=True)
class ModelStore:
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
            raise error("misconfigured", f"the function's environment lacks {', '.join(missing)}")
        bucket, params, symbol, synset = (environ[name] for name in names)
        return cls(bucket, environ.get("MODEL_STORE_PREFIX", "").strip("/"), params, symbol, synset)

    @property
    def name(self) -> str:
        """The model's name: the last part of the prefix."""
        return self.prefix.rpartition("/")[2] or self.bucket

    def key(self, file: str) -> str:
        """The object's key."""
        return f"{self.prefix}/{file}" if self.prefix else file

    def load(self, max_seconds: float = 25.0, get_object: GetObject | None = None) -> Model:
        """Download the files at once, check each against the manifest, and bind the network.

        `get_object(bucket, key, deadline)` returns an object's bytes; `deadline` is a time.monotonic() value.
        Raises PredictionError: 503 with what is wrong, 504 `time_limit` after `max_seconds`.
        """
        deadline = time.monotonic() + max_seconds
        get = get_object or get_from_s3()
        files = [MANIFEST, self.symbol_file, self.params_file, self.synset_file]
        with ThreadPoolExecutor(len(files)) as pool:
            contents = dict(
                zip(files, pool.map(lambda file: get(self.bucket, self.key(file), deadline), files), strict=True)
            )
        digests = check_sums(contents)
        labels = read_labels(contents[self.synset_file])
        try:
            predictor = Predictor(contents[self.symbol_file], contents[self.params_file], labels)
        except (ModelError, OSError) as problem:  # OSError: libmxnet, or a library that it needs, is missing
            raise error("model_not_usable", f"the model {self.name} cannot run: {problem}") from problem
        return Model(predictor, labels, self.name, digests[self.params_file])


def check_sums(contents: Mapping[str, bytes]) -> dict[str, str]:
    """Hold every file to the manifest, which is one of them; returns each other file's SHA-256 in hex.

    Raises PredictionError 503 `model_file_mismatch` for a file that differs, or that the manifest does not list.
    """
    listed = {}
    for line in contents[MANIFEST].decode("utf-8", "replace").splitlines():
        match = re.fullmatch(r"([0-9a-f]{64}) [ *](.+)", line)  # the format of sha256sum
        if match:
            listed[match[2]] = match[1]
    digests = {}
    for file, data in contents.items():
        if file == MANIFEST:
            continue
        digests[file] = hashlib.sha256(data).hexdigest()
        if file not in listed:
            raise error("model_file_mismatch", f"{MANIFEST} does not list {file}; upload the model's files again")
        if listed[file] != digests[file]:
            raise error(
                "model_file_mismatch",
                f"{file} does not match {MANIFEST}: expected SHA-256 {listed[file][:12]}…, got {digests[file][:12]}…; "
                "upload the model's files again",
            )
    return digests


def read_labels(synset: bytes) -> list[str]:
    """The labels, one a line, blank ones left out. Raises PredictionError 503 for what is not UTF-8."""
    try:
        lines = synset.decode("utf-8").splitlines()
    except UnicodeDecodeError as problem:
        raise error("model_not_usable", "the synset file is not UTF-8 text") from problem
    return [line.strip() for line in lines if line.strip()]


def get_from_s3() -> GetObject:
    """A function that gets one object's bytes from S3 with boto3; it may be called from several threads."""
    import boto3  # takes a quarter of a second, and only a cold start needs it
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    retries = {"total_max_attempts": 2, "mode": "standard"}
    # A session of its own: boto3's shared one would keep what it failed to find.
    client = boto3.session.Session().client("s3", config=Config(connect_timeout=2, read_timeout=5, retries=retries))

    def get(bucket: str, key: str, deadline: float) -> bytes:
        file = key.rpartition("/")[2]
        data = bytearray()
        try:
            for chunk in client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_CHUNK):
                data += chunk
                if time.monotonic() > deadline:
                    raise error("time_limit", f"the model store took too long to deliver {file}")
        except ClientError as problem:
            raise s3_error(problem.response, bucket, key) from problem
        except (BotoCoreError, OSError) as problem:
            raise error(
                "model_store_unreachable",
                f"the model store did not deliver {file} (s3:GetObject): {type(problem).__name__}; try again",
                str(problem),
            ) from problem
        return bytes(data)

    return get


def s3_error(response: dict, bucket: str, key: str) -> PredictionError:
    """What a refused s3:GetObject means, from the error response that botocore parsed.

    Without s3:ListBucket S3 answers AccessDenied for a key that does not exist:
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    """
    file = key.rpartition("/")[2]
    problem = response.get("Error", {})
    code, status = str(problem.get("Code", "")), response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    detail = f"s3://{bucket}/{key}: {code} {problem.get('Message', '')}"
    if code in ("NoSuchKey", "404"):
        return error("model_file_missing", f"the model store has no {file}; upload the model's files", detail)
    if code == "NoSuchBucket":
        return error("model_file_missing", "the model store's bucket does not exist; deploy the stack again", detail)
    if status in (401, 403) or code in ("AccessDenied", "403"):
        return error(
            "model_store_denied",
            f"the model store refused s3:GetObject on {file} ({code}): grant it to the function's role",
            detail,
        )
    message = f"the model store answered {code} to s3:GetObject on {file}; try again"
    return error("model_store_unreachable", message, detail)
