"""A bounded load generator: so many clients at once, so many requests at most, so many seconds at most.

Each client sends its next picture when the last one is answered (a closed loop). A request that is throttled comes back
after a pause with full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
Every picture has exactly one answer in the result, whatever it took to get it.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import numpy as np
import tenacity

from workshop.access import Endpoint

BACKOFF_BASE, MAX_BACKOFF = 0.1, 5.0  # seconds
# Throttled by API Gateway or, on the emulator, by Lambda: 429. On AWS API Gateway answers 500 or 503 where Lambda
# refused; the function itself never does. A prediction may be asked for again without harm.
RETRIED = frozenset({429, 500, 503})
NO_CONNECTION = 0  # the status of a try that got no HTTP answer at all
NOBODY_SECONDS = 5.0  # without a single connection, after which there is nobody to wait for


def backoff(tries: int, rng: Any) -> float:
    """Seconds to wait after the try number `tries` (1, 2, …) was refused: evenly from 0 to a limit that doubles.

    `rng`: anything with `random()`, a number from 0 to 1.
    """
    return rng.random() * min(MAX_BACKOFF, BACKOFF_BASE * 2 ** (tries - 1))


@dataclass(frozen=True)
class Try:
    """One HTTP request. `began`: seconds since the run began; `seconds`: until the last byte of its answer.

    `cold`: whether it started an execution environment, by the answer's header X-Cold-Start.
    """

    picture: int
    began: float
    seconds: float
    status: int
    code: str
    cold: bool

    @property
    def refused(self) -> bool:
        """Whether it was throttled, and is worth sending again."""
        return self.status in RETRIED


@dataclass(frozen=True)
class Answer:
    """What became of one picture. `body`: the JSON of the last try, None where it had none."""

    picture: int
    status: int
    tries: int
    seconds: float
    body: dict | None = field(repr=False, default=None)

    @property
    def ok(self) -> bool:
        return self.status == 200


@dataclass(frozen=True)
class Load:
    """A finished run. `answers`: one for each picture sent, in order. `elapsed`: seconds."""

    clients: int
    elapsed: float
    answers: list[Answer]
    tries: list[Try]

    @property
    def throughput(self) -> float:
        """Predictions per second of the whole run."""
        return sum(answer.ok for answer in self.answers) / self.elapsed

    @property
    def seconds(self) -> np.ndarray:
        """The seconds of each try that brought a prediction, in order of their beginning."""
        return np.array([one.seconds for one in sorted(self.tries, key=lambda one: one.began) if one.status == 200])

    def percentile(self, percent: float) -> float:
        """A percentile of `seconds`; not a number where nothing was answered."""
        return float(np.percentile(self.seconds, percent)) if len(self.seconds) else float("nan")

    @property
    def execution_seconds(self) -> np.ndarray:
        """The seconds that the function itself says each answer took, in order of the pictures."""
        bodies = [one.body for one in self.answers if one.ok and one.body]
        return np.array([sum(body["timings_ms"].values()) / 1000 for body in bodies])

    def done_by(self, share: float) -> float:
        """Seconds from the run's beginning until this share of the pictures (0 to 1) was answered."""
        return float(np.quantile([one.began + one.seconds for one in self.tries if one.status == 200], share))

    @property
    def cold(self) -> list[Try]:
        """The tries that were answered by an environment started for them."""
        return [one for one in self.tries if one.status == 200 and one.cold]

    @property
    def warm(self) -> list[Try]:
        """The tries that were answered by an environment that was there."""
        return [one for one in self.tries if one.status == 200 and not one.cold]

    @property
    def codes(self) -> dict[str, int]:
        """How many tries came to what: "200", or the HTTP status and the contract's error code."""
        names = (str(one.status) if one.status == 200 else f"{one.status} {one.code}".strip() for one in self.tries)
        return dict(sorted(Counter(names).items()))


def together(loads: Iterable[Load]) -> Load:
    """Several runs of as many clients as one: their times and answers added up, the pictures numbered on."""
    loads, answers, tries, pictures, elapsed = list(loads), [], [], 0, 0.0
    if len({one.clients for one in loads}) != 1:
        raise ValueError("expected runs of the same number of clients")
    for one in loads:
        answers += [replace(each, picture=each.picture + pictures) for each in one.answers]
        tries += [replace(each, picture=each.picture + pictures, began=each.began + elapsed) for each in one.tries]
        pictures, elapsed = pictures + len(one.answers), elapsed + one.elapsed
    return Load(loads[0].clients, elapsed, answers, tries)


def in_turns(
    url: str,
    pictures: Sequence[bytes],
    concurrency: Sequence[int],
    *,
    requests: int,
    rounds: int,
    progress: Callable[[int], Any] | None = None,
) -> dict[int, list[Load]]:
    """`requests` by each number of clients, in `rounds` turns, so that a slow minute disturbs all of them alike.

    The environments are started before the first turn; those requests are in no result. Raises what `run` does.
    """
    for clients in concurrency:
        run(url, pictures, clients=clients, count=clients)
    runs: dict[int, list[Load]] = {clients: [] for clients in concurrency}
    for _ in range(rounds):
        for clients, done in runs.items():
            done.append(run(url, pictures, clients=clients, count=requests // rounds, progress=progress))
    return runs


def run(
    url: str | Endpoint,
    pictures: Sequence[bytes],
    *,
    clients: int = 1,
    count: int | None = None,
    max_seconds: float = 60.0,
    retry: bool = True,
    request_timeout: float = 60.0,
    seed: int = 0,
    progress: Callable[[int], Any] | None = None,
) -> Load:
    """Post JPEG pictures to the endpoint `url` by `clients` at once and return when all are answered.

    `count` requests (default: each picture once) take the pictures in turn. After `max_seconds` no new picture is
    begun; those under way are finished, and those never begun have no answer in the result. `retry`: whether throttled
    requests and lost connections are sent again, until `max_seconds` have passed. `progress(1)` is called for each
    answer.
    Works in a notebook, too, where an event loop runs already. Raises ValueError for impossible numbers, and
    httpx.ConnectError when for `NOBODY_SECONDS` no connection was accepted, not one.
    """
    if clients < 1 or not pictures or (count is not None and count < 1) or max_seconds <= 0:
        raise ValueError("expected at least one client, one image, one request and some time")
    result: list[Load] = []
    problem: list[BaseException] = []

    def work() -> None:
        try:
            result.append(
                asyncio.run(
                    _run(
                        Endpoint.of(url),
                        pictures,
                        clients,
                        count or len(pictures),
                        max_seconds,
                        retry,
                        request_timeout,
                        seed,
                        progress,
                    )
                )
            )
        except BaseException as error:
            problem.append(error)

    thread = threading.Thread(target=work, name="load")
    thread.start()
    thread.join()
    if problem:
        raise problem[0]
    return result[0]


async def _run(endpoint, pictures, clients, count, max_seconds, retry, request_timeout, seed, progress) -> Load:
    waiting = iter(range(count))
    answers: dict[int, Answer] = {}
    tries: list[Try] = []
    rng = random.Random(seed)
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    # No proxy of the environment's: the emulator is on this machine, and a proxy would be what is measured.
    async with httpx.AsyncClient(limits=limits, timeout=request_timeout, trust_env=False) as http:
        begun = time.perf_counter()

        async def post(number: int) -> tuple[Try, dict | None]:
            began = time.perf_counter()
            body, code, cold = None, "", False
            content = pictures[number % len(pictures)]
            try:
                headers = {"Content-Type": "image/jpeg"}
                response = await http.post(endpoint.url, content=content, headers=headers, auth=endpoint.auth)
                status, cold = response.status_code, response.headers.get("X-Cold-Start") in ("true", "restored")
                body = _json(response)
                code = _code(body)
            except httpx.TransportError as error:
                nobody = isinstance(error, httpx.ConnectError) and all(one.code == "ConnectError" for one in tries)
                if nobody and time.perf_counter() - begun > NOBODY_SECONDS:
                    raise
                status, code = NO_CONNECTION, type(error).__name__
            tried = Try(number, began - begun, time.perf_counter() - began, status, code, cold)
            tries.append(tried)
            return tried, body

        def is_worth_another(result: tuple[Try, dict | None]) -> bool:
            tried = result[0]
            again = tried.refused and tried.code != "quota_exceeded"  # which stays so until tomorrow
            return retry and (again or tried.status == NO_CONNECTION)

        def last(state: tenacity.RetryCallState) -> tuple[Try, dict | None]:
            assert state.outcome is not None
            return state.outcome.result()

        async def send(number: int) -> Answer:
            retrying = tenacity.AsyncRetrying(
                retry=tenacity.retry_if_result(is_worth_another),
                stop=lambda _: time.perf_counter() - begun > max_seconds,
                wait=lambda state: backoff(state.attempt_number, rng),
                retry_error_callback=last,  # whatever it is
            )
            came: tuple[Try, dict | None] = await retrying(post, number)
            tried, body = came
            return Answer(number, tried.status, retrying.statistics["attempt_number"], tried.seconds, body)

        async def client() -> None:
            for number in waiting:
                if time.perf_counter() - begun > max_seconds:
                    return
                answer = await send(number)
                if number in answers:
                    raise AssertionError(f"image {number} was answered twice")
                answers[number] = answer
                if progress:
                    progress(1)

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
        elapsed = time.perf_counter() - begun
    return Load(clients, elapsed, [answers[number] for number in sorted(answers)], tries)


def _json(response: httpx.Response) -> dict | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _code(body: dict | None) -> str:
    """The contract's error code in a body; Lambda's own name for the error where the function was not reached."""
    if body is None:
        return ""
    error = body.get("error")
    if isinstance(error, dict):
        return str(error.get("code", ""))
    return str(body.get("Reason") or body.get("__type") or "")
