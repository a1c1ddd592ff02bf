"""What the notebooks import: plumbing, plots and checks that a cell needs and does not teach."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# MXNet reads these once, when it is loaded. It counts physical cores only, which halves its speed on most machines, and
# writes a line about its graph passes each time a network is bound.
os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")


class UserError(Exception):
    """An error that says what to do. A notebook shows its sentence, without the lines of code that led there."""

    def _render_traceback_(self) -> list[str]:  # IPython asks an exception for it
        return [f"\x1b[31m{type(self).__name__}\x1b[0m: {self}"]
