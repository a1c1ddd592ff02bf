"""One thing that AWS would refuse, or that would cost or fail later."""

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """`check`: which of the judge's checks; `place`: where, as a path within a template; `message`: what and why."""

    check: str
    place: str
    message: str

    def __str__(self) -> str:
        return f"{self.check}: {self.place}: {self.message}"
