"""Predict images as they are uploaded: the worker of the inbox, in Predict's artifact.

S3 tells a queue of each object below `inbox/`, and Lambda hands this function batches of the queue's messages. The
result of `inbox/<name>` is `predictions/<name>.json`, not below `inbox/`, where it would be an upload of its own.

- SQS delivers at least once. A result says which version of the image and which model it is of, and S3 is told to write
  it only over the one that was there before: a message that comes again, or twice at once, writes nothing more.
- An image that cannot be predicted has its reason in its result, and its message goes to the dead letters with it.
- What may pass (S3, the model store, a worker that dies) is tried again by the queue, each message for itself. The last
  time, its message goes to the dead letters with the reason, too.
"""

import functools
import json
import os
from collections import Counter
from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from . import bulk_function
from .bulk_function import Image
from .errors import STATUS, PredictionError, failure
from .limits import TOP_DEFAULT
from .model_store import Model, loaded_model

INBOX, PREDICTIONS = "inbox/", "predictions/"
DECODE_SECONDS = 10.0
RESERVE_SECONDS = DECODE_SECONDS + 2  # an image is begun with so much time left
OF_THE_IMAGE = (413, 415, 422)  # statuses of errors that the same image meets again
_WRITES = 5  # results that others write meanwhile, before this worker leaves it to the next delivery

logger = Logger(service="inbox")


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Predict a batch of SQS messages; returns the messages that are to come again, `ReportBatchItemFailures`.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    bulk_function.start_decoder()
    again: list[str] = []
    counts: Counter[str] = Counter()
    # Those that were here before come last: should one of them end this worker, the others have their results.
    for message in sorted(event["Records"], key=_receives):
        try:
            if context.get_remaining_time_in_millis() < RESERVE_SECONDS * 1000:
                raise failure("time_limit", "the images before it took the worker's time")
            counts.update(predicted(image, message) for image in images(message["body"]))
        except Exception as problem:
            counts["failed"] += 1
            logger.exception("failed", extra={"message_id": message["messageId"], "receives": _receives(message)})
            if _receives(message) < int(os.environ["INBOX_RECEIVES"]) or not _is_handed_over(message, problem):
                again.append(message["messageId"])
    logger.info("batch", extra={"messages": len(event["Records"]), **counts})
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in again]}


def images(body: str) -> list[Image]:
    """The uploads that a message tells of; none in the one that S3 sends to try the queue. Raises ValueError."""
    told = json.loads(body)
    if not isinstance(told, dict) or (told.get("Event") != "s3:TestEvent" and "Records" not in told):
        raise ValueError("the message is no notification of S3")
    found = []
    for record in told.get("Records", []):
        stored, key = record["s3"]["object"], unquote_plus(record["s3"]["object"]["key"])
        if record["s3"]["bucket"]["name"] != bulk_function.bucket_name() or not key.startswith(INBOX):
            raise ValueError(f"{key!r} is not below {INBOX} of this bucket")
        if not key.endswith("/"):  # what consoles write to show an empty folder
            found.append(Image(key, stored["eTag"].strip('"'), int(stored["size"])))
    return found


def result_key(key: str) -> str:
    """Where the result of an image is."""
    return f"{PREDICTIONS}{key.removeprefix(INBOX)}.json"


def predicted(image: Image, message: dict[str, Any]) -> str:
    """Predict one image and write its result; returns `new`, `there` (it has one already), `gone` or `refused`.

    Raises what may pass: PredictionError 5xx, errors of S3 and SQS.
    """
    model = loaded_model()
    for _ in range(_WRITES):
        before = _stored(result_key(image.key))
        if before and before["Metadata"] == _of(image, model):
            return "there"
        line = bulk_function.scored(image, model, TOP_DEFAULT, DECODE_SECONDS)
        problem = line.get("error", {})
        if problem.get("code") == "host_answer":  # replaced or deleted: what is there now has a message of its own
            return "gone"
        refused = STATUS[problem["code"]] in OF_THE_IMAGE if problem else False
        if problem and not refused:
            raise failure(problem["code"], problem["message"])
        if refused:  # before the result is written, which would end it: at least once
            _hand_over(message, problem["code"], problem["message"])
        if _is_written(image, line | {"model": _facts(model)}, model, before):
            return "refused" if refused else "new"
    raise failure("time_limit", "other workers write this result again and again")


def _facts(model: Model) -> dict[str, str]:
    return {"name": model.name, "precision": model.precision, "sha256": model.sha256}


def _of(image: Image, model: Model) -> dict[str, str]:
    """The metadata of a result: the version of the image, and the model."""
    return {"image": image.etag, "model": f"{model.sha256[:16]}-{model.precision}"}


def _stored(key: str) -> dict[str, Any] | None:
    """What S3 says of an object, None where there is none."""
    from botocore.exceptions import ClientError

    try:
        return bulk_function.s3_client().head_object(Bucket=bulk_function.bucket_name(), Key=key)
    except ClientError as problem:
        if problem.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return None
        raise


def _is_written(image: Image, line: dict[str, Any], model: Model, before: dict[str, Any] | None) -> bool:
    """Write a result in the place of the one before; False where another worker was quicker."""
    from botocore.exceptions import ClientError

    condition = {"IfMatch": before["ETag"]} if before else {"IfNoneMatch": "*"}
    try:
        bulk_function.s3_client().put_object(
            Bucket=bulk_function.bucket_name(),
            Key=result_key(image.key),
            Body=json.dumps(line, ensure_ascii=False).encode(),
            ContentType="application/json",
            Metadata=_of(image, model),
            **condition,
        )
    except ClientError as problem:
        conflicts = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey", "404")
        if problem.response["Error"]["Code"] in conflicts:
            return False
        raise
    return True


def _receives(message: dict[str, Any]) -> int:
    return int(message["attributes"]["ApproximateReceiveCount"])


def _is_handed_over(message: dict[str, Any], problem: Exception) -> bool:
    code = problem.code if isinstance(problem, PredictionError) else type(problem).__name__
    try:
        _hand_over(message, code, str(problem))
    except Exception:
        logger.exception("no dead letter", extra={"message_id": message["messageId"]})
        return False  # then the queue itself moves it, without a reason
    return True


def _hand_over(message: dict[str, Any], code: str, reason: str) -> None:
    """Put a message among the dead letters as it came, so that it can be moved back, with its reason beside it."""
    told = {"code": code, "reason": reason[:1000] or code}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in told.items()}
    _sqs().send_message(
        QueueUrl=os.environ["INBOX_FAILED_URL"], MessageBody=message["body"], MessageAttributes=attributes
    )


@functools.cache
def _sqs():
    import boto3

    return boto3.client("sqs")
