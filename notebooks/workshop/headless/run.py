"""One run of the notebooks: what was asked, and what became of each."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Result:
    """What became of one notebook."""

    name: str
    seconds: float = 0.0
    cells: int = 0
    status: str = "not run"  # or "passed", "failed", "unchanged" since the last run
    error: str = ""


@dataclass
class Run:
    """One run of all notebooks: what it was asked, and what became of it. `summary.json` holds it."""

    started: str
    parameters: dict[str, Any]
    results: list[Result]
    seconds: float = 0.0
    target: str = "local"
    region: str = ""
    endpoint: str = ""
    sample: str = "golf_ball"  # what the prediction was asked about
    prediction: dict = field(default_factory=dict)
    request_seconds: float = 0.0
    facts: dict = field(default_factory=dict)  # what is deployed: report.facts

    @property
    def passed(self) -> bool:
        return all(result.status in ("passed", "unchanged") for result in self.results)
