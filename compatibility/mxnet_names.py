"""Let `import mxnet` work on newer Pythons and NumPys than MXNet 1.9.1, its last release, knows.

MXNet asks for some names, while it is imported, that Python and NumPy have since dropped. They are there while a module
of MXNet is being imported, and gone after: NumPy and `sys.modules` are left as they were. The computations need none.

`mxnet_names.pth`, installed beside this file, imports it when Python starts, so any cell and any library of the
environment may import MXNet. Every start of Python pays for this file, so it imports nothing but what is there already,
until MXNet is imported. Functions of MXNet that ask for such a name when they are called are not helped: those of
`mx.np` with boolean masks on NumPy 1, and Gluon's early stopping. The workbook uses neither.
"""

from __future__ import annotations

import sys
from _thread import RLock  # threading's

TYPE_CHECKING = False  # typing's, which takes its time to import
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
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

_lock = RLock()
_depth = 0
_supplied: list[tuple[dict[str, Any], str]] = []  # where, and which name


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
    from types import ModuleType

    from packaging.version import Version

    package, version = ModuleType("distutils"), ModuleType("distutils.version")
    version.__dict__.update(LooseVersion=Version, StrictVersion=Version)
    package.__dict__.update(__path__=[], version=version)
    return {"distutils": package, "distutils.version": version}


def _supply() -> None:
    """Put each missing name in its place, and note how to take it away."""
    import numpy

    _put(vars(numpy), _names(numpy))
    if sys.version_info >= (3, 12) and "distutils" not in sys.modules:
        _put(sys.modules, _distutils())


def _put(place: dict[str, Any], names: dict[str, Any]) -> None:
    for name, value in names.items():
        if name not in place:
            place[name] = value
            _supplied.append((place, name))


def _with_the_names(execute: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Run a module of MXNet. The names are there for as long as the outermost of these calls lasts."""
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
            execute(module)
        finally:
            _depth -= 1
            while _depth == 0 and _supplied:
                place, name = _supplied.pop()
                place.pop(name, None)


class Finder:
    """Finds MXNet's modules where Python would, and has them run with the names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] != "mxnet":
            return None
        from functools import partial
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = partial(_with_the_names, spec.loader.exec_module)
            spec.loader.exec_module = execute  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Finder())
