"""How long a prediction takes at each memory setting, as AWS Lambda Power Tuning finds out.

https://github.com/alexcasalboni/aws-lambda-power-tuning
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workshop import access, client
from workshop.lab import Lab
from workshop.scale import load


def by_memory(
    lab: Lab,
    url: str | access.Endpoint,
    pictures: Sequence[bytes],
    sizes: Sequence[int],
    *,
    rounds: int = 3,
    repeats: int = 40,
    progress: Callable[[int], Any] | None = None,
) -> dict[int, float]:
    """Median milliseconds of a warm prediction (decoding and network) by memory setting (MB), one client at a time.

    The sizes take turns, `rounds` times, `repeats` requests each, so that a busy minute of the machine falls on all of
    them. The function's own setting is put back at the end. `progress(1)` is called after each turn. A size that the
    account is not allowed (a new one often has 3,008 MB at most) is left out of the result.
    """
    functions, name = lab.client("lambda"), client.predict_function(lab)
    before = functions.get_function_configuration(FunctionName=name)["MemorySize"]

    def choose(size: int) -> bool:
        try:
            client.reconfigure(lab, MemorySize=size)
        except functions.exceptions.InvalidParameterValueException as error:
            if "MemorySize" not in str(error):
                raise
            return False
        return True

    seconds: dict[int, list[float]] = {}
    try:
        for size in list(sizes) * rounds:
            if choose(size):
                load.run(url, pictures, count=3)  # the first of them is cold
                seconds.setdefault(size, []).extend(load.run(url, pictures, count=repeats).execution_seconds.tolist())
            if progress:
                progress(1)
    finally:
        choose(before)
    return {size: float(np.median(values)) * 1000 for size, values in seconds.items()}
