"""What a simulated run came to: each request's outcome, and what was there over time."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

OK, THROTTLED_BY_API, THROTTLED_BY_LAMBDA = 200, 4290, 4291


@dataclass(frozen=True)
class Run:
    """What a simulated run came to. Arrays over requests, in order of arrival, then samples over time.

    `arrived`: seconds. `outcome`: OK, THROTTLED_BY_API or THROTTLED_BY_LAMBDA. `seconds`: from request to answer, 0
    where refused. `cold`: whether it started an environment. `at`, `environments`, `running`: what was there then.
    """

    arrived: np.ndarray
    outcome: np.ndarray
    seconds: np.ndarray
    cold: np.ndarray
    at: np.ndarray
    environments: np.ndarray
    running: np.ndarray
    busy_seconds: float
    horizon: float

    @property
    def answered(self) -> np.ndarray:
        """Which requests were answered with 200."""
        return self.outcome == OK

    @property
    def throughput(self) -> float:
        """Answers per second of the run."""
        return float(self.answered.sum() / self.horizon)

    @property
    def throttled_share(self) -> float:
        """The share of requests that were refused."""
        return float(1 - self.answered.mean())

    @property
    def cold_share(self) -> float:
        """The share of answers that waited for a new environment."""
        return float(self.cold[self.answered].mean())

    def percentile(self, percent: float) -> float:
        """A percentile of the answers' seconds."""
        return float(np.percentile(self.seconds[self.answered], percent))

    def done_by(self, share: float) -> float:
        """Seconds from the run's beginning until this share of the answers (0 to 1) was there."""
        return float(np.quantile((self.arrived + self.seconds)[self.answered], share))

    def over_time(self, width: float) -> dict[str, np.ndarray]:
        """Per interval of `width` seconds: `at` its start, `asked`, `answered`, `throttled_api`, `throttled_lambda` per
        second, and `p99` of the answers' seconds (not a number where there is none)."""
        edges = np.arange(0, self.horizon + width / 2, width)
        rates = {
            "asked": np.histogram(self.arrived, edges)[0],
            "answered": np.histogram(self.arrived[self.answered], edges)[0],
            "throttled_api": np.histogram(self.arrived[self.outcome == THROTTLED_BY_API], edges)[0],
            "throttled_lambda": np.histogram(self.arrived[self.outcome == THROTTLED_BY_LAMBDA], edges)[0],
        }
        bounds = np.searchsorted(self.arrived, edges)
        p99 = np.full(len(edges) - 1, np.nan)
        for index, (first, last) in enumerate(pairwise(bounds)):
            seconds = self.seconds[first:last][self.answered[first:last]]
            if len(seconds):
                p99[index] = np.percentile(seconds, 99)
        return {"at": edges[:-1]} | {name: counts / width for name, counts in rates.items()} | {"p99": p99}
