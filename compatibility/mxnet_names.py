"""Let `import mxnet` work on newer Pythons and NumPys than MXNet 1.9.1, its last release, knows.

MXNet asks for some names, while it is imported, that Python and NumPy have since dropped. They are there while a module
of MXNet is being imported, and gone after: NumPy and `sys.modules` are left as they were. The computations need none.

`mxnet_names.pth`, installed beside this file, imports it when Python starts, so any cell and any library of the
environment may import MXNet. Functions of MXNet that ask for such a name when they are called are not helped: those of
`mx.np` with boolean masks on NumPy 1, and Gluon's early stopping. The workbook uses neither.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# Names of NumPy by the name that does the same today. MXNet's `mx.np` gives them to its users as its own.
RENAMED = {
    "Inf": "inf",  # from here to "msort": dropped in NumPy 2.0
    "PINF": "inf",
    "NaN": "nan",
    "NAN": "nan",
    "alltrue": "all",
    "sometrue": "any",
    "product": "prod",
    "round_": "round",
    "msort": "sort",  # along the first axis, which `sort` must be told
    "trapz": "trapezoid",  # this and the next dropped in NumPy 2.4
    "in1d": "isin",
}
# What has no other name: Python's own `bool`, dropped in NumPy 1.24 and back in 2.0, and constants dropped in 2.0.
VALUES = {"bool": bool, "PZERO": 0.0, "NZERO": -0.0, "NINF": float("-inf")}
# Financial functions, which left NumPy in 1.20; up to 1.23 a name that raises stayed.
FINANCIAL = ("mirr", "npv", "pmt", "ppmt", "pv", "rate")

_lock = threading.RLock()
_depth = 0
_undo: list[Callable[[], object]] = []


def _gone(name: str) -> Callable[..., Any]:
    def gone(*_: object, **__: object) -> None:
        raise RuntimeError(f"NumPy has no {name} any more: the package numpy-financial has it")

    return gone


def _names(numpy: ModuleType) -> dict[str, object]:
    """All names of NumPy that MXNet asks for and this NumPy may lack."""
    renamed = {old: getattr(numpy, new) for old, new in RENAMED.items() if hasattr(numpy, new)}
    renamed["msort"] = lambda a: numpy.sort(a, axis=0)
    return renamed | VALUES | {name: _gone(name) for name in FINANCIAL}


def _distutils() -> dict[str, ModuleType]:
    """`distutils.version`, which left Python in 3.12; MXNet compares NumPy's version by it, with either class."""
    from packaging.version import Version

    package, version = ModuleType("distutils"), ModuleType("distutils.version")
    version.__dict__.update(LooseVersion=Version, StrictVersion=Version)
    package.__dict__.update(__path__=[], version=version)
    return {"distutils": package, "distutils.version": version}


def _supply() -> None:
    """Put each missing name in its place, and note how to take it away."""
    import numpy

    namespace = vars(numpy)
    for name, value in _names(numpy).items():
        if name not in namespace:
            namespace[name] = value
            _undo.append(partial(namespace.pop, name, None))
    if sys.version_info >= (3, 12) and "distutils" not in sys.modules:
        for name, module in _distutils().items():
            sys.modules[name] = module
            _undo.append(partial(sys.modules.pop, name, None))


@contextmanager
def supplied() -> Iterator[None]:
    """The names, for as long as the outermost of these contexts lasts."""
    global _depth
    import warnings

    with _lock, warnings.catch_warnings():
        # MXNet's texts hold backslashes that newer Pythons warn of, once, when they compile its modules.
        for category in (SyntaxWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", "invalid escape sequence|.*is an invalid escape sequence", category)
        _depth += 1
        try:
            if _depth == 1:
                _supply()
            yield
        finally:
            _depth -= 1
            while _depth == 0 and _undo:
                _undo.pop()()


class Finder(MetaPathFinder):
    """Finds MXNet's modules where Python would, and has them run with the names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "mxnet":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with supplied():
                    execute(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Finder())
