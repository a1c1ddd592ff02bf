"""Lambda behind API Gateway as a discrete-event simulation (SimPy), and an always-on fleet to compare it with.

The rules are the published ones (`Quotas` names each with its source). What AWS does not publish is an assumption, and
says so. Times are seconds of simulated time. A request runs at once or is refused with 429: Lambda does not queue
synchronous requests.

SimPy keeps the clock. The end of an execution is no event of its own: whoever looks at the function next works off all
ends until then, in their order. An event takes several microseconds, and there are millions of ends.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush, heapreplace

import numpy as np
import simpy

from workshop.scale.load import backoff
from workshop.scale.run import OK, THROTTLED_BY_API, THROTTLED_BY_LAMBDA, Run

Seconds = Callable[[int], float]


@dataclass(frozen=True)
class Quotas:
    """The limits that requests meet. The defaults are those of a new account in us-east-1, read in November 2026.

    - `account_concurrency`: executions at once in the account and region.
      https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    - `reserved`: the function's reserved concurrency, which is its limit, too.
    - `scaling_step` in `scaling_seconds`: new environments of one function; unused ones do not add up.
      https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html
    - `requests_per_environment`: requests per second that come with each unit of concurrency, so a step of 1,000 is
      one of 10,000 requests per second, too; it matters for invocations shorter than 0.1 s. Same page.
    - `api_rate`, `api_burst`: API Gateway's token bucket for all APIs of the account and region.
      https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
    - `idle_seconds`: how long Lambda keeps an environment that nobody calls. Not published: an assumption.
    """

    account_concurrency: int = 1000
    reserved: int | None = None
    provisioned: int = 0
    scaling_step: float = 1000
    scaling_seconds: float = 10.0
    requests_per_environment: float = 10.0
    api_rate: float = 10_000
    api_burst: float = 5_000
    idle_seconds: float = 600.0

    @property
    def concurrency(self) -> int:
        """Executions of the function at once."""
        return self.account_concurrency if self.reserved is None else min(self.reserved, self.account_concurrency)


# For a check against theory, or for a platform without these rules: `Quotas(**UNLIMITED)`.
UNLIMITED = {"api_rate": 1e12, "api_burst": 1e12, "requests_per_environment": 1e12, "scaling_step": 1e12}


class Bucket:
    """A token bucket: `most` tokens at first and at most, `rate` new ones a second."""

    def __init__(self, rate: float, most: float):
        self.rate, self.most, self.tokens, self.at = rate, most, most, 0.0

    def take(self, now: float) -> bool:
        """Take one token at time `now`, if there is one."""
        tokens = self.tokens + (now - self.at) * self.rate
        if tokens > self.most:
            tokens = self.most
        self.at = now
        # Sums of small times are a hair off: a token that is full but for that counts.
        enough = tokens >= 1 - 1e-9
        self.tokens = tokens - 1 if enough else tokens
        return enough

    def widen(self, rate: float) -> None:
        """Let `rate` more (or fewer) tokens come each second, and hold a second's worth more of them at most."""
        self.rate += rate
        self.most += rate
        self.tokens = min(self.most, self.tokens + max(rate, 0.0))


class Sampler:
    """Draws from measured values, with replacement, however many requests are under way. Calling it returns one."""

    def __init__(self, values: Sequence[float] | np.ndarray, rng: np.random.Generator):
        if len(values) == 0:
            raise ValueError("expected at least one measured value to draw from")
        self.values, self.rng = np.asarray(values, float), rng
        self.drawn: Iterator[float] = iter(())

    def __call__(self, under_way: int = 1) -> float:
        for value in self.drawn:
            return value
        self.drawn = iter(self.rng.choice(self.values, 4096).tolist())
        return next(self.drawn)


class MeasuredDurations:
    """Draws from values that were measured with so many requests under way, for a machine whose cores they share.

    Between two measured numbers it interpolates, quantile by quantile; beyond the last it draws from the last.
    """

    def __init__(self, measured: Mapping[int, Sequence[float] | np.ndarray], rng: np.random.Generator):
        self.measured, self.rng = {number: np.asarray(measured[number], float) for number in sorted(measured)}, rng
        self.samplers: dict[int, Sampler] = {}

    def values(self, under_way: int) -> np.ndarray:
        """The values to draw from with so many requests under way."""
        numbers, shares = list(self.measured), np.linspace(0, 1, 1001)
        quantiles = np.array([np.quantile(self.measured[number], shares) for number in numbers])
        return np.array([np.interp(under_way, numbers, column) for column in quantiles.T])

    def __call__(self, under_way: int = 1) -> float:
        if under_way not in self.samplers:
            values = self.measured.get(under_way)
            self.samplers[under_way] = Sampler(self.values(under_way) if values is None else values, self.rng)
        return self.samplers[under_way]()


class Function:
    """The function behind the API.

    `warm` and `cold` return the seconds of an invocation in an environment that is there, and in a new one with its
    start; `overhead` those of the API and the network on top, during which no environment is occupied. Each is called
    with the number of requests under way, which makes a difference on one machine (`MeasuredDurations`)
    and none on Lambda.
    """

    def __init__(
        self,
        env: simpy.Environment,
        warm: Seconds,
        cold: Seconds,
        quotas: Quotas | None = None,
        overhead: Seconds = lambda under_way: 0.0,
    ):
        self.env, self.warm, self.cold, self.overhead = env, warm, cold, overhead
        self.quotas = quotas = quotas or Quotas()
        self.limit = quotas.concurrency
        self.api = Bucket(quotas.api_rate, quotas.api_burst)
        self.scaling = Bucket(quotas.scaling_step / quotas.scaling_seconds, quotas.scaling_step)
        self.rate = Bucket(0.0, 0.0)  # of invocations: widens with each unit of concurrency
        self.units = 0
        self.idle: deque[float] = deque()  # since when each idle environment is idle, the latest last
        self.provisioned = min(quotas.provisioned, quotas.concurrency)
        self.ready = self.provisioned  # provisioned environments that are idle
        self.started = 0  # environments started on demand that are there
        self.running = 0
        self.ends: list[float] = []  # of the executions that run, as a heap: in environments started on demand
        self.provisioned_ends: list[float] = []  # and in provisioned ones
        self.busy_seconds = 0.0
        for _ in range(self.provisioned):
            self._grant(1)

    @property
    def environments(self) -> int:
        """How many environments there are, idle ones included."""
        return self.provisioned + self.started

    def request(self, under_way: int = 1, now: float | None = None) -> tuple[int, float, bool]:
        """One request now: its outcome, its seconds (0 when refused) and whether it started an environment.

        `under_way`: how many requests there are, this one among them, where that is of any matter. `now`: not before
        the last request; by default the clock's.
        """
        now = self.env.now if now is None else now
        if not self.api.take(now):
            return THROTTLED_BY_API, 0.0, False
        self.work_off(now)
        if self.running >= self.limit or not self._within_rate(now):
            return THROTTLED_BY_LAMBDA, 0.0, False
        if self.ready:
            self.ready -= 1
            return self._run(self.warm, under_way, self.provisioned_ends, now, False)
        self.retire(now)
        if self.idle:
            self.idle.pop()  # the one used last: AWS does not publish which, and this way the fewest stay warm
            return self._run(self.warm, under_way, self.ends, now, False)
        if self.environments >= self.units and not self._scale(now):
            return THROTTLED_BY_LAMBDA, 0.0, False
        self.started += 1
        return self._run(self.cold, under_way, self.ends, now, True)

    def work_off(self, now: float) -> None:
        """End the executions that end until `now`."""
        ends = self.ends
        while ends and ends[0] <= now:
            self.idle.append(heappop(ends))
            self.running -= 1
        ends = self.provisioned_ends
        while ends and ends[0] <= now:
            heappop(ends)
            self.running -= 1
            self.ready += 1

    def retire(self, now: float) -> None:
        """Let go of environments that were idle for too long."""
        while self.idle and now - self.idle[0] >= self.quotas.idle_seconds:
            self.idle.popleft()
            self.started -= 1
            self._grant(-1)

    def _run(
        self, draw: Seconds, under_way: int, ends: list[float], now: float, started: bool
    ) -> tuple[int, float, bool]:
        seconds = draw(under_way)
        self.running += 1
        self.busy_seconds += seconds
        heappush(ends, now + seconds)
        return OK, seconds + self.overhead(under_way), started

    def _within_rate(self, now: float) -> bool:
        # Requests that come faster than the granted units allow make the function scale, too.
        return self.rate.take(now) or (self._scale(now) and self.rate.take(now))

    def _scale(self, now: float) -> bool:
        if self.units < self.limit and self.scaling.take(now):
            self._grant(1)
            return True
        return False

    def _grant(self, units: int) -> None:
        self.units += units
        self.rate.widen(units * self.quotas.requests_per_environment)


class Fleet:
    """Instances that are always on: `servers` workers and one queue in order of arrival, nobody refused."""

    def __init__(self, env: simpy.Environment, service: Callable[[], float], servers: int, overhead: float = 0.0):
        self.service, self.overhead = service, overhead
        self.free = [env.now] * servers  # from when on each worker is free, as a heap
        self.waits: list[float] = []  # seconds in the queue, in order of service

    def request(self, came: float) -> float:
        """One request at time `came`, not before the last one; the time of its end."""
        begins = max(came, self.free[0])
        self.waits.append(begins - came)
        end = begins + self.service()
        heapreplace(self.free, end)
        return end


def arrivals(rate: Callable[[np.ndarray], np.ndarray], horizon: float, rng: np.random.Generator, step: float = 1.0):
    """Times of a Poisson process, sorted, in seconds from 0 to `horizon`.

    `rate(times)`: requests per second, held constant within each `step`, for which the result is exact.
    """
    starts = np.arange(0, horizon, step)
    widths = np.minimum(step, horizon - starts)
    counts = rng.poisson(np.maximum(rate(starts + widths / 2), 0) * widths)
    times = np.repeat(starts, counts) + rng.random(counts.sum()) * np.repeat(widths, counts)
    times.sort()
    return times


def open_loop(
    env: simpy.Environment, function: Function, times: np.ndarray, horizon: float, sample: float = 1.0
) -> Run:
    """Send a request at each of `times`, whether or not earlier ones are answered, as the internet does.

    SimPy steps from sample to sample; the arrivals between two are worked off in their order: about 3 microseconds a
    request.
    """
    count = len(times)
    outcome, seconds, cold = np.zeros(count, np.int32), np.zeros(count), np.zeros(count, bool)
    coming = times.tolist()
    samples: list[tuple[float, int, int]] = []
    position, now = 0, env.now

    def arrive(until: float) -> None:
        nonlocal position, now
        last = int(np.searchsorted(times, until))
        answers = []
        for at in coming[position:last]:
            now = max(now, at)
            answers.append(function.request(1, now))
        if answers:
            outcome[position:last], seconds[position:last], cold[position:last] = zip(*answers, strict=True)
        position = max(position, last)

    def sampler():
        while True:
            arrive(env.now)
            function.work_off(env.now)
            function.retire(env.now)
            samples.append((env.now, function.environments, function.running))
            yield env.timeout(sample)

    env.process(sampler())
    env.run(until=horizon)
    arrive(horizon)
    function.work_off(horizon)
    at, environments, running = np.array(samples).T
    return Run(times, outcome, seconds, cold, at, environments, running, function.busy_seconds, horizon)


def queue_loop(env: simpy.Environment, fleet: Fleet, times: np.ndarray) -> np.ndarray:
    """Send a request to an always-on fleet at each of `times`; returns the seconds of each, in order of its end."""
    came = np.maximum(times, env.now)
    ends = np.array([fleet.request(at) for at in came.tolist()])
    return (ends - came + fleet.overhead)[np.argsort(ends, kind="stable")]


def closed_loop(
    env: simpy.Environment,
    function: Function,
    clients: int,
    requests: int,
    rng: np.random.Generator,
    pause: Callable[[int, np.random.Generator], float] = backoff,
) -> Run:
    """`clients` that each send their next request when the last one is answered, `requests` answers altogether.

    A refused request is sent again after `pause(tries, rng)` seconds (default: `load`'s rule), until it is
    answered; `Run.seconds` is of the try that was.
    """
    tries: list[tuple[float, int, float, bool]] = []
    left, under_way, finished = requests, 0, 0.0

    def client():
        nonlocal left, under_way, finished
        while left > 0:
            left -= 1
            attempt = 0
            while True:
                came = env.now
                outcome, seconds, cold = function.request(under_way + 1)
                tries.append((came, outcome, seconds, cold))
                if outcome == OK:
                    under_way += 1
                    yield env.timeout(seconds)
                    under_way -= 1
                    break
                attempt += 1
                yield env.timeout(pause(attempt, rng))
            finished = env.now

    for _ in range(clients):
        env.process(client())
    env.run()
    function.work_off(env.now)
    came, outcome, seconds, cold = (np.array(column) for column in zip(*sorted(tries), strict=True))
    at, environments, running = np.array([(0.0, 0, 0), (finished, function.environments, function.running)]).T
    return Run(came, outcome, seconds, cold.astype(bool), at, environments, running, function.busy_seconds, finished)


def erlang_b(servers: int, load: float) -> float:
    """The share of requests that find all of `servers` busy and are lost (M/G/c/c). `load`: arrival rate x mean time.

    Erlang (1917), by the recursion that does not overflow.
    """
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked


def erlang_c(servers: int, load: float) -> float:
    """The share of requests that have to wait (M/M/c with an endless queue), for `load` < `servers`."""
    if load >= servers:
        raise ValueError(f"a load of {load} on {servers} servers: the queue grows without end")
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


def mean_wait(servers: int, arrival_rate: float, mean_seconds: float) -> float:
    """The mean seconds in the queue of M/M/c."""
    load = arrival_rate * mean_seconds
    return erlang_c(servers, load) * mean_seconds / (servers - load)
