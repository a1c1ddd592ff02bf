"""Which tests run on one worker, and in which order: `make test` keeps all cores busy.

Tests of one file share its fixtures and stay together. So do files that share something that takes long to make: a
deployed stack, a running JupyterLab and what notebooks printed in it. The notebooks run in the order of their numbers.
"""

from collections.abc import Sequence

from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/browser/test_jupyterlab.py": "JupyterLab",
    "tests/browser/test_widget.py": "JupyterLab",
    "tests/e2e/": "deployed",
    "tests/browser/test_deployed_page.py": "deployed",
    "tests/browser/test_report.py": "deployed",
    "notebooks/": "JupyterLab",  # nbval judges what each notebook sent when JupyterLab ran it
}
QUICKEST_FIRST = (
    "tests/unit/",
    "tests/fuzz/",
    "tests/templates/",
    "tests/package/",
    "tests/e2e/",
    "tests/browser/",
    "tests/notebooks/",
    "notebooks/",
)
# By what each group took; within each the order is that of the files.
LONGEST_FIRST = (
    "tests/browser/test_jupyterlab.py",
    "tests/browser/test_widget.py",
    "notebooks/",
    "tests/e2e/",
    "tests/browser/test_deployed_page.py",
    "tests/browser/test_report.py",
    "tests/browser/",
    "tests/notebooks/",
    "tests/fuzz/",
    "tests/templates/",
    "tests/package/",
    "tests/unit/",
)


def group(nodeid: str) -> str:
    """The name of the group that a test belongs to: its file, or what it shares with other files."""
    file = nodeid.partition("::")[0]
    return next((name for start, name in TOGETHER.items() if file.startswith(start)), file)


def rank(nodeid: str, order: Sequence[str]) -> int:
    """The place of a test in `order`; a test of no folder in it comes last."""
    return next((index for index, start in enumerate(order) if nodeid.startswith(start)), len(order))


class ByRoom(LoadScopeScheduling):
    """Hands whole groups to the workers, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
