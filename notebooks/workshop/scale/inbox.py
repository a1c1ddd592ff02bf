"""The inbox from a notebook: switch it on and off, upload images, read their results and the dead letters."""

import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_plus

from workshop.lab import Lab
from workshop.scale import bulk

INBOX, PREDICTIONS = "inbox/", "predictions/"
NAMES = ("inbox", "inbox-failed")  # the queue of uploads, and that of dead letters


def bucket(lab: Lab) -> str:
    """The bucket of uploads."""
    return f"{lab.project_id}-{lab.region}-{lab.account}-inbox"


def is_on(lab: Lab) -> bool:
    """Whether the stack has an inbox now."""
    return bulk.parameters(lab)["OnUpload"] == "true"


def switch(lab: Lab, on: bool) -> dict[str, str]:
    """Make the bucket, the queues and the function of the inbox, or delete them; returns the stack's outputs.

    Every other parameter stays as it is. Switching off deletes the uploads, the results and the messages, too.
    """
    if not on:
        empty(lab)
    return bulk.update(lab, {"OnUpload": str(on).lower()})


def empty(lab: Lab, below: str = "") -> int:
    """Delete the uploads whose names begin so, and their results; without a name, all that is in the bucket.

    Returns how many objects it were, 0 where there is no bucket.
    """
    return bulk.empty_bucket(lab, bucket(lab), (INBOX + below, PREDICTIONS + below) if below else ("",))


def upload(lab: Lab, files: Mapping[str, bytes], at_once: int = 4) -> None:
    """Put images below `inbox/`, by their names."""
    s3, name = lab.client("s3", max_pool_connections=16), bucket(lab)
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(lambda item: s3.put_object(Bucket=name, Key=INBOX + item[0], Body=item[1]), files.items()))


def results(lab: Lab, below: str = "") -> dict[str, dict[str, Any]]:
    """The results of images whose names begin so, by name: predictions, or an error."""
    s3, name = lab.client("s3", max_pool_connections=16), bucket(lab)

    def read(key: str) -> dict[str, Any]:
        return json.loads(s3.get_object(Bucket=name, Key=key)["Body"].read())

    keys = result_keys(lab, below)
    with ThreadPoolExecutor(8) as pool:
        return {line["key"].removeprefix(INBOX): line for line in pool.map(read, keys)}


def result_keys(lab: Lab, below: str = "") -> list[str]:
    """The keys of the results of images whose names begin so."""
    pages = lab.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket(lab), Prefix=PREDICTIONS + below)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def wait(
    lab: Lab,
    count: int,
    meanwhile: Callable[[int], None] = lambda done: None,
    seconds: float = 300.0,
    below: str = "",
) -> None:
    """Wait for so many results of images whose names begin so; `meanwhile` is called with how many there are.

    Raises TimeoutError.
    """
    deadline = time.monotonic() + seconds
    while (done := len(result_keys(lab, below))) < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{done} of {count} results after {seconds:.0f} s: see the function's log")
        meanwhile(done)
        time.sleep(0.5)


def dead_letters(lab: Lab, seconds: float = 5.0, below: str = "") -> list[dict[str, str]]:
    """Take the dead letters of images whose names begin so out of their queue: the name, the code and the reason.

    A message that its worker could not hand over itself, because it died, has neither code nor reason.
    """
    sqs, found = lab.client("sqs"), []
    queue, deadline = lab.outputs(lab.app_stack)["InboxFailedQueue"], time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"]
        )
        for message in answer.get("Messages", []):
            told = {name: value["StringValue"] for name, value in message.get("MessageAttributes", {}).items()}
            (record,) = json.loads(message["Body"])["Records"]
            name = unquote_plus(record["s3"]["object"]["key"]).removeprefix(INBOX)
            if not name.startswith(below):
                continue
            found.append({"name": name, **told})
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        if not answer.get("Messages"):
            break
    return found


def kill_workers(lab: Lab) -> int:
    """Kill the emulator's processes that predict uploads, in the middle of it; returns how many there were."""
    return bulk.kill_workers(lab, "InboxFunction")


def queues(lab: Lab) -> list[str]:
    """The URLs of the inbox's queues that there are."""
    pages = lab.client("sqs").get_paginator("list_queues").paginate(QueueNamePrefix=f"{lab.project_id}-inbox")
    ours = {f"{lab.project_id}-{name}" for name in NAMES}
    return [url for page in pages for url in page.get("QueueUrls", []) if url.rpartition("/")[2] in ours]
