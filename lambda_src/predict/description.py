"""What a model says of itself: its `model.json`, whose form docs/model-json.md describes."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from .fitting import DEFAULT, Fitting
from .rejection import Rejection

SCHEMA = 1
_TOLD = ("architecture", "classes", "licence", "not_for")  # what an answer repeats of it, where it is there


class Description(NamedTuple):
    """`fitting`: how a picture becomes the network's input. `told`: members of an answer's `model`. `rejection`: how to
    tell pictures that show none of the classes, None where nobody calibrated it.
    """

    fitting: Fitting = DEFAULT
    told: Mapping[str, Any] = MappingProxyType({})
    rejection: Rejection | None = None

    @classmethod
    def read(cls, data: bytes) -> "Description":
        """Read a model.json. Raises ValueError, which says what was expected."""
        try:
            about = json.loads(data)
        except ValueError as problem:
            raise ValueError(f"it is not JSON ({problem})") from problem
        if not isinstance(about, dict) or about.get("schema") != SCHEMA:
            raise ValueError(f"it is not of schema {SCHEMA}")
        said = about.get("input")
        if not isinstance(said, dict):
            raise ValueError("it has no member input, which says how images are fitted")
        fitting = Fitting.of(said)
        shown = {name: said[name] for name in ("size", "fit", "fraction") if said.get(name) is not None}
        told = {name: about[name] for name in _TOLD if name in about} | {"input": shown}
        if (calibrated := about.get("rejection")) is None:
            return cls(fitting, told)
        rejection = Rejection.of(calibrated)
        return cls(fitting, told | {"known_from": rejection.threshold}, rejection)

    def verdict(self, outputs: Sequence[Sequence[float]]) -> dict[str, Any]:
        """What an answer says of whether the picture shows one of the classes: nothing without a calibration."""
        return self.rejection.verdict(outputs) if self.rejection else {}


NOTHING_SAID = Description()  # of a model without a model.json
