"""Several images in one request: fetched at the same time, each with its own outcome."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import NamedTuple

from . import payload
from .errors import PredictionError, failure

# All images of a request together. While the last of them are copied, up to twice as much is held: the decoder's
# limit leaves 180 MB beside the model (decoder.memory_limit).
MAX_BYTES = 40_000_000
LEAST_DECODE_SECONDS = 5.0  # for each image, as long as the request has them


class Fetched(NamedTuple):
    """The image at a place of the list, or why there is none, and the milliseconds that it took."""

    place: int
    data: bytes | PredictionError
    milliseconds: float


def fetched(urls: Sequence[str], fetch: Callable[[str], bytes]) -> Iterator[Fetched]:
    """Each image as it comes, all of them asked for at once; `data:` URLs hold theirs.

    `fetch` bounds the time of one, and so of all. Raises what it raises besides PredictionError.
    """

    def one(place: int, url: str) -> Fetched:
        begun = time.monotonic()
        data: bytes | PredictionError
        try:
            data = payload.in_data_url(url) if payload.is_data_url(url) else fetch(url)
        except PredictionError as problem:
            data = problem
        return Fetched(place, data, round((time.monotonic() - begun) * 1000, 1))

    with ThreadPoolExecutor(len(urls), "fetch") as pool:
        for future in as_completed([pool.submit(one, *entry) for entry in enumerate(urls)]):
            yield future.result()


def decode_seconds(deadline: float, waiting: int) -> float:
    """How long the next of `waiting` images may decode: its share of the time, or some seconds if that is more.

    `deadline`: of `time.monotonic`. Raises PredictionError 504 when it is over.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise failure("time_limit", "the request ran out of time before this image: ask for fewer at once")
    return min(left, max(left / waiting, LEAST_DECODE_SECONDS))
