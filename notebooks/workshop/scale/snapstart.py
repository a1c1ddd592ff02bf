"""What SnapStart costs beside cold starts on demand, from the price table (`prices.json`); amounts in US dollars.

Lambda bills a snapshot for each version that exists, by the GB of the function's memory and the time, three hours at
least, and each environment that starts from it, by the same GB. The environment's start itself is not billed; the
runtime's hooks are. https://docs.aws.amazon.com/lambda/latest/dg/snapstart.html#snapstart-pricing

Not counted: the one initialization for each version, and those that Lambda repeats to patch its snapshots. The prices
are of x86-64.
"""

import math
from dataclasses import dataclass

from predict.limits import MEGABYTES_PER_VCPU

from . import cost

MINIMUM_HOURS = 3.0  # that a snapshot is billed for


@dataclass(frozen=True)
class ColdStart:
    """A cold start on demand, and from a snapshot.

    `billed_ms`: billed on demand beyond a warm request: the initialization and the model's load. `hooks_ms`: billed
    after a restore, to start the decoder's process: 28 ms (median of 9 beside other work on 2 cores of x86-64).
    """

    billed_ms: float
    hooks_ms: float = 28.0
    memory_mb: int = MEGABYTES_PER_VCPU

    @property
    def gigabytes(self) -> float:
        return self.memory_mb / cost.MEGABYTES_PER_GB

    @property
    def on_demand(self) -> float:
        """The price of one cold start on demand, its reads of the model store included."""
        price = cost.prices()
        reads = cost.GET_PER_COLD_START * price["s3_get"]
        return self.billed_ms / 1000 * self.gigabytes * price["lambda_gb_second_x86_64"] + reads

    @property
    def restored(self) -> float:
        """The price of one restore with its hooks."""
        price = cost.prices()
        hooks = self.hooks_ms / 1000 * price["lambda_gb_second_x86_64"]
        return self.gigabytes * (price["lambda_snapstart_restore_gb"] + hooks)


def cached(memory_mb: int = MEGABYTES_PER_VCPU, versions: int = 1, hours: float = cost.HOURS_PER_MONTH) -> float:
    """The price of the snapshots of so many versions, each for `hours`."""
    seconds = max(hours, MINIMUM_HOURS) * 3600
    price = cost.prices()["lambda_snapstart_cache_gb_second"]
    return versions * seconds * memory_mb / cost.MEGABYTES_PER_GB * price


def monthly(start: ColdStart, cold_starts: float, versions: int = 1) -> cost.Bill:
    """A month's bill of SnapStart for so many cold starts."""
    return {"snapshots": cached(start.memory_mb, versions), "restores": cold_starts * start.restored}


def pays_from(start: ColdStart, versions: int = 1) -> float | None:
    """The cold starts a month from which SnapStart costs no more than starts on demand; None where it never does."""
    saved = start.on_demand - start.restored
    return math.ceil(cached(start.memory_mb, versions) / saved) if saved > 0 else None


def seconds_of_a_restore() -> float:
    """The billed seconds that cost as much as a restore, at any memory: a shorter cold start costs less on demand."""
    price = cost.prices()
    return price["lambda_snapstart_restore_gb"] / price["lambda_gb_second_x86_64"]
