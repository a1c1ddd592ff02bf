"""Make the virtual environments that the lab needs, when they are missing or their lock has changed.

    python3 scripts/setup.py              both
    python3 scripts/setup.py emulator     that one alone
    python3 scripts/setup.py linter       the third, which the tests make when they need it
    python3 scripts/setup.py site         the fourth, which `make site` makes when it needs it

They are of the Python that runs this, 3.11 to 3.14; scripts/find_python.sh finds one.

`.venv` is the workbook's (requirements-3.11.txt to requirements-3.14.txt, a lock for each Python), `.venv-emulator` the
emulator's (requirements-emulator.txt): a Lambda worker of the emulator must not see the workbook's packages.
`.venv-linter` is that of the templates' security linter (requirements-linter.txt), whose pins do not fit the
workbook's. `.venv-site` makes the site (requirements-site.txt). Standard library only, as nothing is installed yet.

A lock is for x86-64 and arm64. On arm64 MXNet asks for libraries that its wheel does not bring: artifact.workbook puts
those of the function's artifact beside it.

A stamp written last says that an environment is whole, and for which lock, Python and place it was made. Without it, or
with another, the environment is made again from nothing, so a kill at any moment does no harm.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
ARM64 = "aarch64"  # as Linux calls it
NOT_ON_ARM64 = ("3.11",)  # Lambda has none for arm64 that takes the function's wheels (workshop/together.py)
VERSION = "{}.{}".format(*sys.version_info)
LOCKS = {
    "workbook": (f"requirements-{VERSION}.txt", ".venv"),
    "emulator": ("requirements-emulator.txt", ".venv-emulator"),
    "linter": ("requirements-linter.txt", ".venv-linter"),
    "site": ("requirements-site.txt", ".venv-site"),
}
DEFAULT = ("workbook", "emulator")
ROOM = {
    "workbook": 2_500_000_000,
    "emulator": 300_000_000,
    "linter": 400_000_000,
    "site": 350_000_000,
}  # bytes; twice what each takes, for the downloads
# GCC's, which libmxnet needs and a bare system lacks.
GCCS = ("libgomp.so.1", "libquadmath.so.0")
STAMP = ".complete"
# Besides its lock, the workbook's environment holds the project itself, as these say.
PROJECT = ("pyproject.toml", "compatibility/mxnet_names.py", "compatibility/mxnet_names.pth")
# On arm64 MXNet's libraries are changed, too, as these say.
CHANGED_ON_ARM64 = tuple(
    f"lambda_src/artifact/{name}" for name in ("assemble.py", "patch.py", "workbook.py", "native-libraries-arm64.txt")
)
UV_CACHE = Path(".build", "uv")  # where the home folder is read-only


class SetupError(Exception):
    """What is missing, and what to do about it, in one line."""


def check_platform(
    version: tuple[int, ...] = sys.version_info[:3],
    system: str = sys.platform,
    machine: str | None = None,
    libc: str | None = None,
) -> None:
    """Raise SetupError unless this is Linux on x86-64 or arm64 with glibc, which MXNet 1.9.1 needs, and one of PYTHONS.

    On arm64 those of NOT_ON_ARM64 are not taken.
    """
    machine = platform.machine() if machine is None else machine
    libc = platform.libc_ver()[0] if libc is None else libc
    if system != "linux" or machine not in ("x86_64", "AMD64", ARM64) or libc != "glibc":
        raise SetupError(
            f"the lab needs Linux on x86-64 or arm64 with glibc, and this is {system} on {machine}: on Windows use "
            "WSL 2; on macOS or Alpine a Linux container with glibc, GitHub Codespaces or SageMaker Studio"
        )
    pythons = [each for each in PYTHONS if machine != ARM64 or each not in NOT_ON_ARM64]
    if ".".join(map(str, version[:2])) not in pythons:
        wanted = f"Python {pythons[0]} to {pythons[-1]}{' on arm64' if machine == ARM64 else ''}"
        raise SetupError(
            f"the lab needs {wanted}, and this is {'.'.join(map(str, version[:3]))}: name another with "
            "`make PYTHON=/path/to/python3.13 …`, or leave PYTHON out, and it is looked for"
        )


def check_room(folder: Path, needed: int) -> None:
    """Raise SetupError unless the file system of `folder` has `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise SetupError(
            f"no room on the disk: {needed / 1e9:.1f} GB needed in {folder}, {free / 1e9:.1f} GB free. "
            "Free some, or clone the repository on a larger disk"
        )


def fingerprint(lock: Path, environment: Path) -> str:
    """What an environment depends on: its lock, the Python that made it, and its place (its scripts name it).

    The workbook's depends on how the project itself is installed, too, and on arm64 on how MXNet is changed.
    """
    more = PROJECT + (CHANGED_ON_ARM64 if platform.machine() == ARM64 else ())
    files = [lock, *(ROOT / name for name in more if environment == ROOT / ".venv")]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return f"{digest} {platform.python_version()} {sys.base_prefix} {environment}"


def is_complete(lock: Path, environment: Path) -> bool:
    """Whether `environment` was made whole from `lock` as it is now."""
    stamp = environment / STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == fingerprint(lock, environment)


def clean_environment() -> dict[str, str]:
    """The process's environment without what would lead an installer to another Python."""
    drop = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX"}
    drop |= {"PIP_REQUIRE_VIRTUALENV", "PIP_USER", "PIP_TARGET"}
    return {name: value for name, value in os.environ.items() if name not in drop}


def writable_cache(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """`environment`, with `folder` for uv's downloads where its own place for them cannot be written to."""
    home = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or "/", ".cache"))
    cache = Path(environment.get("UV_CACHE_DIR") or home / "uv")
    with contextlib.suppress(OSError):
        cache.mkdir(parents=True, exist_ok=True)
    return environment if os.access(cache, os.W_OK | os.X_OK) else environment | {"UV_CACHE_DIR": str(folder)}


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=writable_cache(clean_environment(), ROOT / UV_CACHE),
        stdin=subprocess.DEVNULL,
    )


def pip_has_its_own_index(pip: list[str]) -> bool:
    """Whether this user's pip was told to install from somewhere else than PyPI; uv does not read pip's settings."""
    return ".index-url=" in run([*pip, "config", "list"]).stdout.replace("extra-index-url", "")


def find_uv(uv_requirement: str | None, environment: Path, pip: list[str]) -> list[str] | None:
    """uv as a command: this Python's, the workbook's, or installed now with `pip` into `environment`; else None."""
    for candidate in (Path(sys.executable).with_name("uv"), ROOT / ".venv" / "bin" / "uv"):
        if candidate.is_file():
            return [str(candidate)]
    if uv_requirement and run([*pip, "install", "--quiet", uv_requirement]).returncode == 0:
        return [str(environment / "bin" / "uv")]
    return None


def install(lock: Path, environment: Path) -> None:
    """Install `lock` into `environment`, an empty virtual environment: with uv, or with pip when uv cannot.

    A lock is whole, so nothing is resolved: MXNet's metadata refuses a NumPy that it computes with.
    On 2 cores the workbook's 180 packages take uv 15 s and pip 80 s. Raises SetupError with the installer's last line.
    """
    python = str(environment / "bin" / "python")
    own_pip = [python, "-m", "pip"]
    pip = own_pip if (environment / "bin" / "pip").exists() else [str(ROOT / ".venv/bin/python"), "-m", "pip"]
    if not Path(pip[0]).exists():
        pip = [sys.executable, "-m", "pip"]
    uv_requirement = next((line for line in lock.read_text().splitlines() if line.startswith("uv==")), None)
    if pip_has_its_own_index(pip):
        why = "pip is told of an index of its own, which uv does not read"
    elif uv := find_uv(uv_requirement, environment, pip):
        result = run([*uv, "pip", "install", "--quiet", "--no-deps", "--python", python, "-r", str(lock)])
        if not result.returncode:
            return
        why = f"uv could not ({last_line(result)})"
    else:
        why = "uv, which is faster, could not be installed"
    print(f"pip installs {lock.name}, which takes minutes: {why}", flush=True)
    target = [] if pip is own_pip else ["--python", python]
    result = run([*pip, *target, "install", "--quiet", "--no-deps", "-r", str(lock)])
    if result.returncode:
        raise SetupError(
            f"{lock.name} could not be installed: {last_line(result)} (is PyPI reachable? then run this again)"
        )


def install_project(environment: Path) -> None:
    """Install the project's own packages, editable and alone: the lock has what they need, the build backend too.

    Raises SetupError with the installer's last line.
    """
    python = str(environment / "bin" / "python")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    result = run([python, "-m", "uv", "pip", "install", "--python", python, *options])
    if result.returncode:
        result = run([python, "-m", "pip", "install", *options])
    if result.returncode:
        raise SetupError(f"the project itself could not be installed: {last_line(result)}")


def is_missing(library: str) -> bool:
    """Whether this system lacks a shared library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return True
    return False


def supply_libraries(environment: Path) -> None:
    """Put the libraries that this system lacks beside libmxnet, which looks for them there.

    They are the function's, out of wheels. Raises SetupError with what to install where those cannot be fetched.
    """
    missing = [library for library in GCCS if is_missing(library)]
    if not missing:
        return
    with tempfile.TemporaryDirectory(dir=environment) as folder:
        libraries = Path(folder, "lib")
        program = "import pathlib, sys; from artifact import assemble; "
        program += "assemble.extract_native_libraries(pathlib.Path(sys.argv[1]), 'x86_64')"
        result = run([str(environment / "bin" / "python"), "-c", program, str(libraries)])
        if result.returncode:
            raise SetupError(
                f"{' and '.join(missing)} could not be fetched: {last_line(result)} (on Debian and Ubuntu: apt-get "
                "install libgomp1 libquadmath0)"
            )
        for library in missing:
            shutil.copy(libraries / library, environment / "lib" / f"python{VERSION}" / "site-packages" / "mxnet")


def lend_libraries(environment: Path) -> None:
    """Give MXNet the libraries that it lacks on arm64. Raises SetupError with the last line of what went wrong."""
    result = run(
        ["env", f"PYTHONPATH={ROOT / 'lambda_src'}", str(environment / "bin/python"), "-m", "artifact.workbook"]
    )
    if result.returncode:
        raise SetupError(f"MXNet's libraries for arm64 could not be installed: {last_line(result)}")


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    """An installer's error in one line."""
    lines = [line for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    said = next((line for line in lines if line.lower().startswith("error")), lines[-1] if lines else "no message")
    named = next((line.removeprefix("╰─>") for line in lines if re.fullmatch(r"╰─> \S+", line)), "")
    return (said + named).strip()  # pip names the package that it could not build below its error


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold `lock` (an advisory lock on the file) so that two set-ups do not make one environment at once."""
    with lock.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Another set-up is at work on {lock.name}: waiting for it.", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def make(which: str) -> bool:
    """Make the environment `which` unless it is whole already; returns whether it was made."""
    lock, environment = ROOT / LOCKS[which][0], ROOT / LOCKS[which][1]
    if is_complete(lock, environment):
        return False
    with alone(lock):
        if is_complete(lock, environment):  # made meanwhile, by the one that was waited for
            return False
        began = time.monotonic()
        if environment.is_symlink():  # whose folder may be anybody's
            raise SetupError(f"{environment.name} is a symbolic link: remove the link, and run this again")
        again = environment.exists()
        print(f"{'Making' if not again else 'Making again'} {environment.name} from {lock.name} …", flush=True)
        (environment / STAMP).unlink(missing_ok=True)
        if again:
            shutil.rmtree(environment)
        check_room(ROOT, ROOM[which])
        without_pip = [] if which == "workbook" else ["--without-pip"]
        result = run([sys.executable, "-m", "venv", *without_pip, str(environment)])
        if result.returncode:
            shutil.rmtree(environment, ignore_errors=True)
            said = "; ".join((result.stdout + result.stderr).strip().splitlines()[:1]) or "no message"
            raise SetupError(f"python -m venv failed: {said} (on Debian and Ubuntu: apt-get install python3-venv)")
        install(lock, environment)
        if which == "workbook":
            install_project(environment)
            if platform.machine() == ARM64:
                lend_libraries(environment)
            else:
                supply_libraries(environment)
        (environment / STAMP).write_text(fingerprint(lock, environment), encoding="utf-8")
        print(f"{environment.name} is ready ({time.monotonic() - began:.0f} s).", flush=True)
    return True


def main(arguments: list[str]) -> int:
    try:
        unknown = set(arguments) - set(LOCKS)
        if unknown:
            raise SetupError(f"unknown environment {sorted(unknown)[0]!r}: choose from {', '.join(LOCKS)}")
        check_platform()
        for which in arguments or DEFAULT:
            make(which)
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"set-up: {error.strerror}: {error.filename or ROOT}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("set-up: interrupted; run it again and it starts over", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
