"""What predictions cost: a dated price table (`prices.json`, us-east-1) and plain arithmetic over it.

Every amount is in US dollars. A bill is a dict of item and amount; `total` adds it up. Not counted: the free tier,
taxes, data transfer to the internet, traces. The durations that go in are billed ones, as measured.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from predict.limits import MEGABYTES_PER_VCPU

HOURS_PER_MONTH = 730  # 365 days / 12; AWS's own calculator uses it
# Memory at which Lambda gives one whole vCPU: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MEGABYTES_PER_GB = 1024  # AWS's GB-second is of 1,024 MB
TRANSITIONS_PER_CHILD = 3  # into its state, out of it, and one for the Map's own step: rather one too many than too few
GET_PER_COLD_START = 4  # the manifest, the symbol, the params and the synset

Bill = dict[str, float]


def table() -> dict:
    """The whole price table: region, date, and for each price its amount, unit, date and source."""
    return json.loads(Path(__file__).with_name("prices.json").read_text(encoding="utf-8"))


def prices() -> dict[str, float]:
    """The price of one unit of each kind, by name."""
    return {name: entry["usd"] / entry["per"] for name, entry in table()["prices"].items()}


def total(bill: Mapping[str, float]) -> float:
    """The sum of a bill."""
    return math.fsum(bill.values())


def billed_ms(duration_ms: float) -> int:
    """A duration as Lambda bills it: in whole milliseconds, rounded up, at least one."""
    return max(1, math.ceil(duration_ms))


@dataclass(frozen=True)
class Workload:
    """Predictions and what each takes.

    `billed_ms`: mean billed duration of a warm invocation. `cold_share`: the share of invocations that start an
    environment, 0 to 1. `cold_extra_ms`: what such a one is billed on top: initialisation (billed since August 2025:
    https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/) and loading the model.
    `api`: "rest", "http" or "none". `pictures_from_s3`: whether each picture is fetched from S3.
    """

    requests: float = 1e6
    billed_ms: float = 50.0
    memory_mb: int = MEGABYTES_PER_VCPU
    architecture: str = "x86_64"
    cold_share: float = 0.01
    cold_extra_ms: float = 2000.0
    api: str = "rest"
    pictures_from_s3: bool = False
    log_bytes: float = 600.0

    def __post_init__(self) -> None:
        if self.requests < 0 or self.billed_ms < 0 or self.cold_extra_ms < 0 or self.log_bytes < 0:
            raise ValueError("requests, durations and bytes cannot be negative")
        if not 0 <= self.cold_share <= 1:
            raise ValueError(f"cold_share is {self.cold_share}: expected 0 to 1")
        if not 128 <= self.memory_mb <= 10240:
            raise ValueError(f"memory_mb is {self.memory_mb}: Lambda has 128 to 10240")
        if self.api not in ("rest", "http", "none") or self.architecture not in ("x86_64", "arm64"):
            raise ValueError(f"{self.api}, {self.architecture}: expected rest, http or none, and x86_64 or arm64")

    @property
    def gigabytes(self) -> float:
        return self.memory_mb / MEGABYTES_PER_GB


def serverless(work: Workload) -> Bill:
    """The bill for API Gateway and Lambda on demand."""
    price = prices()
    gb_second = price[f"lambda_gb_second_{work.architecture}"] * work.gigabytes / 1000
    gets = work.requests * (work.pictures_from_s3 + work.cold_share * GET_PER_COLD_START)
    return {
        "API Gateway": work.requests * price[f"api_{work.api}"] if work.api != "none" else 0.0,
        "Lambda requests": work.requests * price["lambda_request"],
        "Lambda compute": work.requests * work.billed_ms * gb_second,
        "cold starts": work.requests * work.cold_share * work.cold_extra_ms * gb_second,
        "S3": gets * price["s3_get"],
        "logs": work.requests * work.log_bytes / 1e9 * price["logs_gb"],
    }


def idle(alarms: int, dashboards: int = 0, metrics: int = 0) -> Bill:
    """The monthly bill of a stack that nobody asks: alarms, dashboards, and custom metrics that are still published."""
    price = prices()
    return {
        "alarms": alarms * price["cloudwatch_alarm"],
        "dashboards": dashboards * price["cloudwatch_dashboard"],
        "custom metrics": metrics * price["cloudwatch_metric"],
    }


def provisioned(work: Workload, environments: int, hours: float = HOURS_PER_MONTH) -> Bill:
    """The bill with `environments` provisioned for `hours`, none of the requests beyond them (so no cold start)."""
    price = prices()
    bill = serverless(replace(work, cold_share=0.0))
    run = price[f"lambda_provisioned_duration_gb_second_{work.architecture}"]
    bill["Lambda compute"] = work.requests * work.billed_ms / 1000 * work.gigabytes * run
    configured = price[f"lambda_provisioned_gb_second_{work.architecture}"]
    bill["provisioned"] = environments * hours * 3600 * work.gigabytes * configured
    return bill


def always_on(
    requests_per_month: float,
    images_per_second: float,
    *,
    peak_to_mean: float = 3.0,
    target_use: float = 0.6,
    least: int = 1,
    instance: str = "ec2_c6i_large",
    load_balancer: bool = True,
) -> Bill:
    """The monthly bill of instances that are sized for the peak and never stopped.

    `images_per_second`: what one instance can score at most. `target_use`: how much of that is planned for at the peak.
    `least`: the fewest instances (2 for a service that outlives one of them).
    """
    price = prices()
    count = instances_needed(
        requests_per_month, images_per_second, peak_to_mean=peak_to_mean, target_use=target_use, least=least
    )
    bill = {"instances": count * HOURS_PER_MONTH * price[instance]}
    if load_balancer:
        bill["load balancer"] = HOURS_PER_MONTH * price["load_balancer"]
    return bill


def instances_needed(
    requests_per_month: float,
    images_per_second: float,
    *,
    peak_to_mean: float = 3.0,
    target_use: float = 0.6,
    least: int = 1,
) -> int:
    """How many instances carry the peak of `requests_per_month`."""
    peak = requests_per_month / (HOURS_PER_MONTH * 3600) * peak_to_mean
    # A hair of tolerance: 2.0000000001 instances are two.
    return max(least, math.ceil(peak / (images_per_second * target_use) - 1e-9))


def sagemaker_serverless(
    requests: float, milliseconds: float, *, memory_gb: int = 2, bytes_each: float = 100_000
) -> Bill:
    """The bill of a SageMaker Serverless endpoint: processing time by memory, and every byte in and out.

    `memory_gb`: 1 to 6, as SageMaker offers it. `milliseconds`: mean processing time of a request.
    """
    if memory_gb not in range(1, 7):
        raise ValueError(f"memory_gb is {memory_gb}: SageMaker Serverless has 1 to 6")
    price = prices()
    return {
        "SageMaker compute": requests * milliseconds / 1000 * memory_gb * price["sagemaker_serverless_gb_second"],
        "SageMaker data": requests * bytes_each / 1e9 * price["sagemaker_data_gb"],
    }


def crossing(per_request: float, fixed: Callable[[float], float], most: float = 1e12) -> float | None:
    """The least number of requests at which `fixed(requests)` is no dearer than `per_request * requests`, if any.

    `fixed`: a bill that rises in steps, as instances do. Between two steps the lines cross at an exact quotient.
    """
    if per_request <= 0:
        return None
    requests = 1.0
    while requests <= most:
        amount = fixed(requests)
        if amount <= per_request * requests:
            return requests
        # Nothing can cross before the price per request adds up to today's amount: jump there.
        requests = max(amount / per_request, requests * (1 + 1e-12))
    return None


def bulk(
    images: int,
    milliseconds: float,
    *,
    batch: int = 50,
    memory_mb: int = MEGABYTES_PER_VCPU,
    start_ms: float = 0.0,
    express: bool = False,
) -> Bill:
    """The bill of scoring `images` of one prefix by a Distributed Map in batches.

    `milliseconds`: billed for one image. `start_ms`: billed for each batch on top (S3, and a share of cold starts).
    Each batch is a child execution with one state: `TRANSITIONS_PER_CHILD` state transitions where children are of the
    standard type, one request and 64 MB for its duration where they are express.
    """
    price = prices()
    batches = math.ceil(images / batch)
    seconds = batch * milliseconds / 1000 + start_ms / 1000
    child = (
        price["states_express_request"] + seconds * 64 / 1024 * price["states_express_gb_second"]
        if express
        else TRANSITIONS_PER_CHILD * price["states_standard"]
    )
    gigabytes = memory_mb / MEGABYTES_PER_GB
    billed = (images * milliseconds + batches * start_ms) / 1000
    return {
        "Step Functions": batches * child,
        "Lambda requests": batches * price["lambda_request"],
        "Lambda compute": billed * gigabytes * price["lambda_gb_second_x86_64"],
        "S3": (images + batches) * price["s3_get"] + (batches + math.ceil(images / 1000)) * price["s3_put"],
    }


@dataclass(frozen=True)
class Speed:
    """How an invocation's duration falls with the vCPUs it gets (Amdahl's law): `fixed_ms + parallel_ms / vCPUs`.

    Below one vCPU the fixed part takes longer, too: the process gets only a share of the core's time.
    """

    fixed_ms: float
    parallel_ms: float

    @classmethod
    def fit(cls, measured: Mapping[float, float]) -> "Speed":
        """Least squares over durations (ms) by number of vCPUs, two or more of them; neither part is negative."""
        cpus = np.array(list(measured), float)
        times = np.array(list(measured.values()), float)
        if len(cpus) < 2:
            raise ValueError("expected durations at two numbers of vCPUs at least")
        design = np.stack([np.ones_like(cpus), 1 / cpus], axis=1)
        fixed, parallel = np.linalg.lstsq(design, times, rcond=None)[0]
        if fixed < 0:
            return cls(0.0, float((times * cpus).mean()))
        if parallel < 0:
            return cls(float(times.mean()), 0.0)
        return cls(float(fixed), float(parallel))

    def milliseconds(self, memory_mb: float) -> float:
        """The duration (ms) at a memory setting (MB)."""
        cpus = memory_mb / MEGABYTES_PER_VCPU
        return self.fixed_ms / min(1.0, cpus) + self.parallel_ms / cpus
