"""The files of `scripts/` as modules: no package, as they run before anything is installed."""

import importlib.util
from types import ModuleType

from workshop import ROOT


def load(name: str) -> ModuleType:
    """`scripts/<name>.py`."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
