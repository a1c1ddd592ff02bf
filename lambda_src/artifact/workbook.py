"""Give the workbook's own MXNet, on arm64, the libraries that the artifact for arm64 has (artifact.patch says why).

    PYTHONPATH=lambda_src .venv/bin/python -m artifact.workbook

The set-up runs this where it is needed. MXNet itself is not imported, as it cannot be before.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
import tempfile
from pathlib import Path
from subprocess import CalledProcessError

from artifact import assemble


def lend(package: Path) -> None:
    """Put libmxnet, changed, and what it asks for into `package`, MXNet's own folder; the loader looks there.

    Each is a new file under its name: the one that was there may share its content with the installer's cache.
    Raises CalledProcessError when the libraries cannot be installed or changed, and OSError when they do not load.
    """
    with tempfile.TemporaryDirectory(dir=package) as folder:
        libraries = Path(folder, "lib")
        assemble.extract_native_libraries(libraries, "arm64")
        for library in libraries.iterdir():
            library.replace(package / library.name)
    ctypes.CDLL(str(package / "libmxnet.so"))


def main() -> int:
    found = importlib.util.find_spec("mxnet")
    if found is None or found.origin is None:
        print("MXNet is not installed here", file=sys.stderr)
        return 1
    try:
        lend(Path(found.origin).parent)
    except (CalledProcessError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
