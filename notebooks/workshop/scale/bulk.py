"""Bulk scoring from a notebook: switch it on and off, put images, run the state machine, read what came of it."""

import contextlib
import io
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from PIL import Image, ImageEnhance, ImageOps

from workshop import choices
from workshop.lab import Lab, LabError, patience
from workshop.samples import sample_path

ACTIVE = "RUNNING"
NUMBERS = {"concurrency": "BulkConcurrency", "batch": "BulkBatch"}


def chosen(lab: Lab) -> dict[str, Any]:
    """`on`, `concurrency` and `batch` of bulk scoring as the stack has them now, to `switch` back to."""
    values = parameters(lab)
    numbers = {name: int(values[parameter]) for name, parameter in NUMBERS.items()}
    return {"on": values["BulkScoring"] == "true", **numbers}


def parameters(lab: Lab) -> dict[str, str]:
    """The stack's parameters as they are. Raises LabError where it knows no bulk scoring."""
    described = lab.client("cloudformation").describe_stacks(StackName=lab.app_stack)["Stacks"][0]
    values = {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])}
    if "BulkScoring" not in values:
        raise LabError(f"stack {lab.app_stack!r} knows no bulk scoring: run notebook 05_build_and_deploy again")
    return values


def switch(lab: Lab, on: bool, concurrency: int | None = None, batch: int | None = None) -> dict[str, str]:
    """Make the bucket, the function and the state machine of bulk scoring, or delete them; returns the stack's outputs.

    The deployed template and every other parameter stay as they are. So do `concurrency`, batches at once, and `batch`,
    images in one, unless they are given. Switching off deletes the images and the results in the bulk bucket, too.
    """
    named: dict[str, object] = {"BulkScoring": str(on).lower()}
    for name, value in (("concurrency", concurrency), ("batch", batch)):
        if value is not None:
            named[NUMBERS[name]] = value
    if not on:
        empty(lab)
    return update(lab, named)


def update(lab: Lab, named: Mapping[str, object]) -> dict[str, str]:
    """Give the application's stack other parameters, its template and its other parameters staying as they are."""
    stack, cloudformation = lab.app_stack, lab.client("cloudformation")
    names = parameters(lab)
    request = {
        "StackName": stack,
        "UsePreviousTemplate": True,
        "Parameters": choices.parameter_list(named, names, names),
        "Capabilities": ["CAPABILITY_AUTO_EXPAND"],
        "RoleARN": lab.role_arn(lab.cloudformation_role),
    }
    try:
        cloudformation.update_stack(**request)
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise
    else:
        waiter = cloudformation.get_waiter("stack_update_complete")
        waiter.wait(StackName=stack, WaiterConfig=patience(cloudformation, 600))
    return lab.outputs(stack)


def bucket(lab: Lab) -> str:
    """The bucket of bulk scoring."""
    return f"{lab.project_id}-{lab.region}-{lab.account}-bulk"


def empty(lab: Lab, job: str = "") -> int:
    """Delete every object of the bulk bucket, or those of one job, and return how many there were.

    Where there is no bucket, that is 0.
    """
    return empty_bucket(lab, bucket(lab), (f"images/{job}/", f"results/{job}/") if job else ("",))


def empty_bucket(lab: Lab, name: str, prefixes: Iterable[str] = ("",)) -> int:
    """Delete a bucket's objects below the prefixes and return how many there were; 0 where there is no bucket."""
    s3, count = lab.client("s3"), 0
    try:
        for prefix in prefixes:
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix):
                keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
                if keys:
                    s3.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
                    count += len(keys)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchBucket":
            raise
    return count


def variants(names: Iterable[str], count: int, size: int = 256) -> dict[str, bytes]:
    """`count` different JPEGs by file name, made of samples: turned a little, mirrored, cropped, lighter or darker."""
    originals = {name: Image.open(sample_path(name)).convert("RGB") for name in names}
    made = {}
    for number in range(count):
        name = list(originals)[number % len(originals)]
        picture = originals[name].rotate(number * 7 % 21 - 10, Image.Resampling.BICUBIC)
        margin = min(picture.size) * (8 + number % 7) // 100
        picture = ImageOps.fit(ImageOps.crop(picture, margin), (size, size))
        picture = ImageOps.mirror(picture) if number % 2 else picture
        picture = ImageEnhance.Brightness(picture).enhance(0.8 + number % 9 / 20)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85)
        made[f"{number:05d}-{name}.jpg"] = buffer.getvalue()
    return made


def put(lab: Lab, prefix: str, files: Mapping[str, bytes]) -> None:
    """Write files below a prefix of the bulk bucket."""
    s3, name = lab.client("s3", max_pool_connections=16), bucket(lab)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: s3.put_object(Bucket=name, Key=prefix + item[0], Body=item[1]), files.items()))


def start(lab: Lab, job: str, top: int = 5) -> str:
    """Start scoring `images/<job>/` into `results/<job>/`; returns the execution's ARN. The same job goes on."""
    machine = lab.outputs(lab.app_stack)["BulkMachine"]
    request = {"images": f"images/{job}/", "results": f"results/{job}/", "top": top}
    states = lab.client("stepfunctions")
    return states.start_execution(stateMachineArn=machine, input=json.dumps(request))["executionArn"]


def stop(lab: Lab, execution: str) -> None:
    """Stop an execution and wait until it is stopped."""
    lab.client("stepfunctions").stop_execution(executionArn=execution, cause="stopped by hand")
    wait(lab, execution)


def wait(lab: Lab, execution: str, until: Callable[[], bool] = lambda: False, seconds: float = 900.0) -> dict[str, Any]:
    """Ask until the execution has ended, or `until()` holds; returns its description. Raises TimeoutError."""
    states, deadline = lab.client("stepfunctions"), time.monotonic() + seconds
    while time.monotonic() < deadline:
        described = states.describe_execution(executionArn=execution)
        if described["status"] != ACTIVE or until():
            return described
        time.sleep(0.25)
    raise TimeoutError(f"the execution still runs after {seconds:.0f} s")


def counts(execution: Mapping[str, Any]) -> dict[str, int]:
    """What `collect` counted. Raises RuntimeError with Step Functions' cause when the execution did not succeed."""
    if execution["status"] != "SUCCEEDED":
        raise RuntimeError(f"{execution['status']}: {execution.get('error', '')} {execution.get('cause', '')}".strip())
    return json.loads(execution["output"])


def scored_so_far(lab: Lab, job: str) -> int:
    """How many images have a line in a part already."""
    return sum(part_lines(lab, job).values())


def part_lines(lab: Lab, job: str) -> Counter:
    """How often each image has a line in the job's parts."""
    s3, name = lab.client("s3"), bucket(lab)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=f"results/{job}/parts/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    lines = (line for key in keys for line in s3.get_object(Bucket=name, Key=key)["Body"].read().splitlines())
    return Counter(json.loads(line)["key"] for line in lines)


def parts(lab: Lab, job: str) -> int:
    """How many parts the job has."""
    pages = (
        lab.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket(lab), Prefix=f"results/{job}/parts/")
    )
    return sum(page["KeyCount"] for page in pages)


def lines(lab: Lab, job: str, file: str) -> list[dict[str, Any]]:
    """`results.jsonl` or `failures.jsonl` of a job, one dict for each line."""
    body = lab.client("s3").get_object(Bucket=bucket(lab), Key=f"results/{job}/{file}")["Body"].read()
    return [json.loads(line) for line in body.splitlines()]


def kill_workers(lab: Lab, function: str = "BulkFunction") -> int:
    """Kill the emulator's processes of the function that an output of the stack names, in the middle of what they do.

    Returns how many there were.

    For checks on one machine with a /proc file system (Linux).
    """
    name, killed = lab.outputs(lab.app_stack)[function], 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            if f"ministack-lambda-{name}-" in command and "_worker.py" in command:
                os.kill(int(folder.name), signal.SIGKILL)
                killed += 1
    return killed
