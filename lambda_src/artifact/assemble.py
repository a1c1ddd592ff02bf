"""Assemble the Predict function's artifact for Amazon Linux, x86-64 or arm64, from any host.

    PYTHONPATH=lambda_src python -m artifact.assemble --artifact FOLDER

The build's parameters say for which Lambda runtime and architecture (artifact.runtime).

The artifact holds the function's package, its Python dependencies as wheels, and `lib/` with libmxnet and the shared
libraries it needs that the Lambda runtime lacks. Third-party parts are kept in a cache whose name is a
digest of everything that determines them, so a build after a change of the function's own code copies and downloads
nothing.
"""

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from artifact import patch, runtime

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "predict"
CACHE = HERE.parents[1] / ".build" / "artifact"
# obstore has a wheel of glibc 2.28 for arm64, which Amazon Linux 2023 has and 2 has not.
PLATFORMS = {"x86_64": "x86_64-manylinux2014", "arm64": "aarch64-manylinux_2_28"}
# can_ada and pi-heif have no older ones for Python 3.14, whose runtime has Amazon Linux 2023.
NEWER_PLATFORM = {("x86_64", "3.14"): "x86_64-manylinux_2_28"}
KEPT = 6  # folders in the cache, the last used ones: some 200 MB each
# Whatever the function's Python: a shared library knows none, and these are the last wheels of their packages.
NATIVE_PYTHON = "3.11"

# Where each shared library comes from, in an installed wheel: a pattern -> the name the loader asks for.
NATIVE_LIBRARIES = {
    "x86_64": {
        "mxnet/libmxnet.so": "libmxnet.so",
        "mxnet/libopenblas.so.0": "libopenblas.so.0",
        "mxnet/libgfortran.so.3": "libgfortran.so.3",
        "scikit_learn.libs/libgomp-*.so.1*": "libgomp.so.1",
        "numpy.libs/libquadmath-*.so.0*": "libquadmath.so.0",
    },
    "arm64": {  # and as artifact.patch has them
        "mxnet/libmxnet.so": "libmxnet.so",
        "mxnet/libgfortran.so.5": "libgfortran.so.5",
        "scikit_learn.libs/libgomp-*.so.1*": "libgomp.so.1",
        "scipy.libs/libopenblasp-*.so": "libopenblas.so.0",
    },
}

# What no prediction touches; each line was tried: the proof and the package tests pass without it.
UNUSED = [
    "bin",
    "*/tests",
    "*.pyi",
    "numpy/f2py",
    "numpy/_core/include",
    "numpy/_core/lib",
    "numpy/doc",
    "numpy/distutils",
    "PIL/_imagingtk*",
    "PIL/_imagingft*",
    "pillow.libs/libfreetype*",
    "pillow.libs/libharfbuzz*",
]


def native_requirements(architecture: str) -> Path:
    """The file that names the wheels of the shared libraries."""
    return HERE / ("native-libraries.txt" if architecture == "x86_64" else f"native-libraries-{architecture}.txt")


def install(target: Path, requirements: Path, python: str, architecture: str, *options: str) -> None:
    """Install wheels for an architecture of Lambda and a Python (`3.13`) into `target`, whatever this machine is.

    Raises CalledProcessError, the installer's words shown, when it fails.
    """
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--only-binary=:all:", *options]
    command += [f"--python-platform={NEWER_PLATFORM.get((architecture, python), PLATFORMS[architecture])}"]
    command += [f"--python-version={python}", "--target", str(target), "--requirements", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, env=pips_index() | os.environ)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        raise subprocess.CalledProcessError(done.returncode, command)
    (target / ".lock").unlink(missing_ok=True)  # the installer's own


def pips_index() -> dict[str, str]:
    """Where this user's pip installs from, in the variable that uv reads, where pip was told a place of its own."""
    settings = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True).stdout
    found = re.search(r"(?m)^\S+\.index-url='(.*)'$", settings)
    return {"UV_DEFAULT_INDEX": found[1]} if found else {}


def install_dependencies(target: Path, python: str, architecture: str) -> None:
    """Install the function's Python dependencies, without what it does not use."""
    install(target, SOURCE / "requirements.txt", python, architecture)
    for pattern in UNUSED:
        for path in sorted(target.rglob("*")):
            if path.exists() and fnmatch(path.relative_to(target).as_posix(), pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def extract_native_libraries(target: Path, architecture: str) -> None:
    """Put libmxnet and what it needs side by side, under the names that they ask the loader for.

    libmxnet's own RPATH is `$ORIGIN`, which the loader also follows for what its libraries need in turn.
    Raises RuntimeError when the wheels do not hold exactly one file of the name expected.
    """
    target.mkdir()
    requirements = native_requirements(architecture)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        install(Path(folder), requirements, NATIVE_PYTHON, architecture, "--no-deps")
        for pattern, name in NATIVE_LIBRARIES[architecture].items():
            found = list(Path(folder).glob(pattern))
            if len(found) != 1:
                raise RuntimeError(f"{requirements.name}: expected one file like {pattern}, found {found}")
            shutil.copyfile(found[0], target / name)
            (target / name).chmod(0o755)
    if architecture == "arm64":
        patch.rename_needed(target)
    else:
        patch.skip_tuning(target / "libmxnet.so")


def third_party(name: str, architecture: str) -> Path:
    """The folder of dependencies and libraries for the runtime `name`, assembled now or by an earlier build."""
    digest = hashlib.sha256(f"{name} {architecture}".encode())
    sources = (SOURCE / "requirements.txt", native_requirements(architecture), Path(__file__), Path(patch.__file__))
    for file in sources:
        digest.update(file.read_bytes())
    folder = CACHE / digest.hexdigest()[:16]
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as partial:
            whole = Path(partial, "whole")
            whole.mkdir()
            install_dependencies(whole, runtime.version(name), architecture)
            extract_native_libraries(whole / "lib", architecture)
            compile_modules(whole, name)
            try:
                whole.rename(folder)
            except OSError:  # another build was quicker
                if not folder.exists():
                    raise
        with contextlib.suppress(FileNotFoundError):  # another build removed it
            for old in sorted(CACHE.iterdir(), key=lambda each: each.stat().st_mtime)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)  # of an older version, or of a build that was killed
    os.utime(folder)
    return folder


def compile_modules(folder: Path, name: str) -> None:
    """Write the runtime's bytecode for every module: Lambda cannot write it, and would compile at each cold start."""
    options = ["-qq", "-f", "--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", "/var/task"]
    subprocess.run([runtime.interpreter(name), "-m", "compileall", *options, str(folder)], check=True)


def assemble(artifact: Path, name: str = runtime.THIS, architecture: str = runtime.HERE) -> None:
    """Fill the folder `artifact`, which must be empty or missing, for the runtime `name` on `architecture`.

    Raises SystemExit where this machine has no Python of that runtime.
    """
    shutil.copytree(third_party(name, architecture), artifact, dirs_exist_ok=True)
    with tempfile.TemporaryDirectory() as modules:
        package = Path(modules, SOURCE.name)
        package.mkdir()
        for module in SOURCE.glob("*.py"):
            shutil.copy2(module, package)
        compile_modules(Path(modules), name)
        shutil.copytree(modules, artifact, dirs_exist_ok=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--artifact", type=Path, required=True, help="the folder to fill")
    assemble(parser.parse_args().artifact, runtime.chosen(), runtime.architecture())
