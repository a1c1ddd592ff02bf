"""Score a whole prefix of an S3 bucket: the worker of the state machine `<project>-bulk`, in Predict's artifact.

Step Functions' Distributed Map lists the images and hands them out; this function does the two steps that are left:

- `score` takes one batch of images and writes one part, a JSON Lines file with one line per image. The part's name is
  a digest of the batch, and S3 is told to write it only if it is not there: a worker that dies leaves nothing behind, a
  worker that is repeated changes nothing, and one that comes late is refused.
- `collect` holds the parts against the images that are there, and writes `results.jsonl`, `failures.jsonl` and
  `summary.json` once every image has its line.

An image that cannot be scored (not an image, damaged, too large) is a result, too: its line says why. What may pass (S3
or Lambda out of order) raises, and Step Functions repeats the batch.
"""

import functools
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import obstore
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext
from obstore.exceptions import PreconditionError
from obstore.store import S3Store

from . import fetching, predictor
from .decoder import DecoderProcess, Prepared
from .errors import PredictionError, failure
from .limits import TOP_MAX
from .model_files import MANIFEST, parse_manifest
from .model_store import Model, ModelStore, loaded_model, object_store

IMAGES, RESULTS = "images/", "results/"
AHEAD = 4  # images fetched while one is scored; each may have `fetching.MAX_BYTES`
DECODE_SECONDS = 20.0
FETCH_SECONDS = 60.0
_PART_BYTES = 8 << 20  # S3 takes parts of 5 MiB and more, 10,000 of them: results of up to 80 GB

Item = TypeVar("Item")
Made = TypeVar("Made")

logger = Logger(service="bulk")
_decoder = DecoderProcess()


class Incomplete(Exception):
    """Some images have no result: start the state machine again with the same input."""


@dataclass(frozen=True)
class Image:
    """One object to score, in the version that was listed. `etag`: without quotes."""

    key: str
    etag: str
    size: int


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """`{"task": "collect", "images", "results"}`, or one batch of `{"task": "score", …}` items.

    A batch is what Distributed Map makes of its ItemBatcher, `{"Items": […]}`, or a single item. Raises ValueError for
    anything else.
    """
    items = event.get("Items", [event])
    tasks = {item.get("task") for item in items}
    if tasks == {"score"}:
        if len({(item["results"], item["top"]) for item in items}) != 1:
            raise ValueError("the items of a batch are of several jobs")
        images = [Image(item["key"], item["etag"].strip('"'), int(item["size"])) for item in items]
        return score(images, _prefix(items[0]["results"], RESULTS), _top(items[0]["top"]))
    if tasks == {"collect"}:
        return collect(_prefix(event["images"], IMAGES), _prefix(event["results"], RESULTS), _top(event["top"]))
    raise ValueError(f"expected the task score or collect, got {sorted(map(str, tasks))}")


def score(images: Sequence[Image], results: str, top: int) -> dict[str, Any]:
    """Score a batch and write its part, unless it is there. Returns how many images it was and whether it was there."""
    images = [image for image in images if not _is_folder(image.key)]
    start_decoder()
    model = loaded_model()
    key = part_key(results, model.precision, model.sha256, top, images)
    if not images or _exists(key):
        return {"images": len(images), "new": False}
    # The next image is prepared, in a process of its own, while the network predicts one.
    ready = _ahead(lambda fetched: _prepare(fetched[1], model), _ahead(_fetch, images, AHEAD), 1)
    lines = [json.dumps(_line(image, prepared, model, top), ensure_ascii=False) for (image, _), prepared in ready]
    return {"images": len(images), "new": _write_once(key, "".join(line + "\n" for line in lines).encode())}


def scored(image: Image, model: Model, top: int, seconds: float) -> dict[str, Any]:
    """The line of one image, which may decode for so many seconds. Raises what S3 does, where it may pass."""
    return _line(image, _prepare(_fetch(image), model, seconds), model, top)


def start_decoder() -> None:
    """Fork the decoder's process, unless it runs: before there are threads."""
    _decoder.start()


def collect(images: str, results: str, top: int) -> dict[str, Any]:
    """Write the job's results if each image has exactly one line; returns the counts.

    A line counts if it is of the image's present version and of the model that the store holds now. Raises Incomplete,
    and writes nothing, while an image has none. The lines are held in memory: about a million images with 1,769 MB.
    """
    name, precision, sha256 = _stored_model()
    present = {image.key: image.etag for image in _listed(images)}
    found: dict[str, tuple[bool, str]] = {}
    for part in _objects(_parts(results, precision, sha256, top)):
        for line in _read(part["Key"]).decode().splitlines():
            entry = json.loads(line)
            if present.get(entry["key"]) == entry["etag"]:
                found.setdefault(entry["key"], ("predictions" in entry, line))
    missing = sorted(present.keys() - found.keys())
    counts = {"images": len(present), "scored": sum(scored for scored, _ in found.values())}
    counts |= {"failed": len(found) - counts["scored"], "missing": len(missing)}
    if missing:
        raise Incomplete(
            f"{len(missing)} of {len(present)} images have no result yet, the first is {missing[0]}: "
            "start the state machine again with the same input, it goes on from there"
        )
    for file, wanted in (("results.jsonl", True), ("failures.jsonl", False)):
        _write_lines(results + file, (found[key][1] for key in sorted(found) if found[key][0] is wanted))
    summary = counts | {"model": {"name": name, "precision": precision, "sha256": sha256}, "top": top}
    s3_client().put_object(
        Bucket=bucket_name(),
        Key=results + "summary.json",
        Body=json.dumps(summary).encode(),
        ContentType="application/json",
    )
    logger.info("collected", extra=counts)
    return counts


def part_key(results: str, precision: str, sha256: str, top: int, images: Sequence[Image]) -> str:
    """The name of a batch's part: the same images, model and `top` make the same name, any other another."""
    batch = json.dumps(sorted((image.key, image.etag) for image in images)).encode()
    return f"{_parts(results, precision, sha256, top)}{hashlib.sha256(batch).hexdigest()}.jsonl"


def _parts(results: str, precision: str, sha256: str, top: int) -> str:
    return f"{results}parts/{sha256[:16]}-{precision}-{top}/"


def _prefix(value: Any, root: str) -> str:
    if not isinstance(value, str) or not value.startswith(root) or not value.endswith("/") or value == root:
        raise ValueError(f"expected a prefix like {root}my-images/, got {value!r}")
    return value


def _top(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= TOP_MAX:
        raise ValueError(f"top is {value!r}: expected a whole number from 1 to {TOP_MAX}")
    return value


def _is_folder(key: str) -> bool:
    return key.endswith("/")  # what consoles write to show an empty folder


def _prepare(
    data: bytes | PredictionError, model: Model, seconds: float = DECODE_SECONDS
) -> Prepared | PredictionError:
    if isinstance(data, PredictionError):
        return data
    try:
        return _decoder.prepare(data, seconds, model.description.fitting)
    except PredictionError as problem:
        return problem


def _line(image: Image, prepared: Prepared | PredictionError, model: Model, top: int) -> dict[str, Any]:
    line: dict[str, Any] = {"key": image.key, "etag": image.etag}
    if isinstance(prepared, PredictionError):
        return line | prepared.body()
    outputs = model.predictor.run(prepared.batch)
    ranked = predictor.rank(outputs[0], model.labels, top)
    return line | {"predictions": ranked} | model.description.verdict(outputs) | prepared.said


def _ahead(work: Callable[[Item], Made], items: Iterable[Item], most: int) -> Iterator[tuple[Item, Made]]:
    """Each item with what `work` makes of it, in order, and at most so many of them ahead of their turn."""
    with ThreadPoolExecutor(most) as pool:
        under_way: deque[tuple[Item, Future[Made]]] = deque()
        for item in items:
            under_way.append((item, pool.submit(work, item)))
            if len(under_way) > most:
                first, made = under_way.popleft()
                yield first, made.result()
        for first, made in under_way:
            yield first, made.result()


def _fetch(image: Image) -> bytes | PredictionError:
    from botocore.exceptions import ClientError

    if image.size > fetching.MAX_BYTES:
        message = f"the image has {image.size} bytes, and at most {fetching.MAX_BYTES} are read: upload a smaller image"
        return failure("image_too_large", message)
    if image.size == 0:
        return failure("not_an_image", "the object is empty: upload the image again")
    try:
        return _version(image)
    except (FileNotFoundError, PreconditionError):
        pass
    except ClientError as problem:
        if problem.response["Error"]["Code"] not in ("NoSuchKey", "404", "PreconditionFailed", "412"):
            raise
    # It is gone or another by now; `collect` leaves out what is not the present version.
    return failure("host_answer", "the image was replaced or deleted after it was listed: run the job again")


def _version(image: Image) -> bytes:
    """The image in the version that was listed. obstore takes an eighth of boto3's processor time, 2.8 ms an image."""
    try:
        return bytes(obstore.get(_images(), image.key, options={"if_match": f'"{image.etag}"'}).bytes())
    except ValueError:  # it takes no key with an empty part, a dot alone or a control character
        return s3_client().get_object(Bucket=bucket_name(), Key=image.key, IfMatch=image.etag)["Body"].read()


def _stored_model() -> tuple[str, str, str]:
    """Name, precision and SHA-256 of the model that the store holds, from its manifest alone."""
    store = ModelStore.from_environment()
    manifest = s3_client().get_object(Bucket=store.bucket, Key=store.key(MANIFEST))["Body"].read().decode()
    return store.name, store.precision, parse_manifest(manifest)[store.params_file]


@functools.cache
def _images() -> S3Store:
    return object_store(bucket_name(), FETCH_SECONDS, retries=3)


@functools.cache
def s3_client():
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3", config=Config(retries={"total_max_attempts": 4, "mode": "standard"}, max_pool_connections=AHEAD + 1)
    )


def bucket_name() -> str:
    return os.environ["BULK_BUCKET_NAME"]


def _objects(prefix: str) -> Iterator[dict[str, Any]]:
    for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket_name(), Prefix=prefix):
        yield from page.get("Contents", [])


def _listed(prefix: str) -> Iterator[Image]:
    for entry in _objects(prefix):
        if not _is_folder(entry["Key"]):
            yield Image(entry["Key"], entry["ETag"].strip('"'), entry["Size"])


def _exists(key: str) -> bool:
    return any(entry["Key"] == key for entry in _objects(key))


def _read(key: str) -> bytes:
    return s3_client().get_object(Bucket=bucket_name(), Key=key)["Body"].read()


def _write_once(key: str, body: bytes) -> bool:
    """Write an object that is not there; returns whether this call was the one that wrote it."""
    from botocore.exceptions import ClientError

    try:
        s3_client().put_object(
            Bucket=bucket_name(), Key=key, Body=body, IfNoneMatch="*", ContentType="application/x-ndjson"
        )
    except ClientError as problem:
        if problem.response["Error"]["Code"] in ("PreconditionFailed", "412"):
            return False
        raise
    return True


def _write_lines(key: str, lines: Iterator[str]) -> None:
    """Write lines as one object, in parts where it is large, so that a reader sees all of it or nothing."""
    s3, bucket = s3_client(), bucket_name()
    parts: list[dict[str, Any]] = []
    buffer, upload = bytearray(), None
    for line in lines:
        buffer += line.encode() + b"\n"
        if len(buffer) >= _PART_BYTES:
            upload = upload or s3.create_multipart_upload(Bucket=bucket, Key=key, ContentType="application/x-ndjson")
            parts.append(_part(upload["UploadId"], key, len(parts) + 1, buffer))
            buffer = bytearray()
    if upload is None:
        s3.put_object(Bucket=bucket, Key=key, Body=bytes(buffer), ContentType="application/x-ndjson")
        return
    if buffer:
        parts.append(_part(upload["UploadId"], key, len(parts) + 1, buffer))
    s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"], MultipartUpload={"Parts": parts})


def _part(upload: str, key: str, number: int, body: bytearray) -> dict[str, Any]:
    answer = s3_client().upload_part(
        Bucket=bucket_name(), Key=key, UploadId=upload, PartNumber=number, Body=bytes(body)
    )
    return {"PartNumber": number, "ETag": answer["ETag"]}
