"""Prove that an artifact can run on AWS Lambda: python3.12 and later on Amazon Linux 2023, python3.11 on 2.

    PYTHONPATH=lambda_src python -m artifact.verify FOLDER

Checked: the unzipped size against Lambda's limit; every shared library that an ELF file in the artifact needs is in
the artifact, where the loader will look, or is part of the runtime; no symbol version is newer than the runtime's; and,
in a Python of the runtime's version that sees nothing but the artifact and the standard library, the function's modules
import and libmxnet predicts. The build's parameters say which runtime and which architecture it is (artifact.runtime).
Exits with 1 and one line per finding when something is wrong.

An artifact for arm64 runs under qemu-user on another machine, if that is installed and QEMU_LD_PREFIX names the folder
of a Linux for arm64 with the runtime's Python in `usr/bin`. Otherwise it is not run, and the last line says so.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from artifact import runtime
from predict.limits import UNZIPPED_BYTES

HEADROOM = 5_000_000  # bytes that a dependency's next release may grow by

# Of glibc, GCC's runtime and zlib, in the base images of all Python runtimes. The packages of one (lambda/python:3.12)
# are listed in https://github.com/amazonlinux/amazon-linux-2023/issues/585; glibc 2.34 keeps libdl and its like.
RUNTIME_LIBRARIES = {
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libpthread.so.0",
    "librt.so.1",
    "libutil.so.1",
    "libgcc_s.so.1",
    "libstdc++.so.6",
    "libz.so.1",
}
# predict.codings loads them before what needs them, and the loader then knows them by name. The probe below tries it.
LOADED_BEFORE = ("libbrotlicommon-",)
# https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html; a GCC's newest symbols:
# https://gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html
AMAZON_LINUX_2 = {"GLIBC": (2, 26), "GLIBCXX": (3, 4, 24), "CXXABI": (1, 3, 11), "GCC": (7, 0, 0), "ZLIB": (1, 2, 7)}
AMAZON_LINUX_2023 = {"GLIBC": (2, 34), "GLIBCXX": (3, 4, 29), "CXXABI": (1, 3, 13), "GCC": (7, 0, 0), "ZLIB": (1, 2, 9)}

# A fully connected layer of known weights: softmax([1, 3]) must come out. Run with the artifact alone on sys.path.
PROBE = '''
import math, struct, sys
sys.path.insert(0, sys.argv[1])
from predict import (
    bulk_function,
    codings,
    entry,
    errors,
    fetching,
    images,
    inbox_function,
    lambda_function,
    model_store,
    predictor,
)

def array(shape, values):
    header = struct.pack("<Ii I", 0xF993FAC9, 0, len(shape)) + struct.pack(f"<{len(shape)}q", *shape)
    return header + struct.pack("<iii", 1, 0, 0) + struct.pack(f"<{len(values)}f", *values)

def text(name):
    return struct.pack("<Q", len(name)) + name

inputs = 3 * 4 * 4
arrays = [array((2, inputs), [1 / inputs] * inputs + [2 / inputs] * inputs), array((2,), [0.0, 1.0])]
names = [text(b"arg:fc_weight"), text(b"arg:fc_bias")]
params = struct.pack("<QQQ", 0x112, 0, 2) + b"".join(arrays) + struct.pack("<Q", 2) + b"".join(names)
symbol = b"""{"nodes": [{"op": "null", "name": "data", "inputs": []}, {"op": "null", "name": "fc_weight", "inputs": []},
 {"op": "null", "name": "fc_bias", "inputs": []},
 {"op": "FullyConnected", "name": "fc", "attrs": {"num_hidden": "2"}, "inputs": [[0, 0, 0], [1, 0, 0], [2, 0, 0]]},
 {"op": "softmax", "name": "probabilities", "inputs": [[3, 0, 0]]}],
 "arg_nodes": [0, 1, 2], "node_row_ptr": [0, 1, 2, 3, 4, 5], "heads": [[4, 0, 0]],
 "attrs": {"mxnet_version": ["int", 10901]}}"""
network = predictor.Predictor(symbol, params, ["one", "other"], size=4)
ones = memoryview(bytes([1] * inputs)).cast("B", (1, 3, 4, 4))
first, second = network.predict(ones)
expected = math.exp(1) / (math.exp(1) + math.exp(3))
assert abs(first - expected) < 1e-5 and abs(first + second - 1) < 1e-5, (first, second, expected)
for coding, coded in (("br", "1b0600f82500a2906004"), ("zstd", "28b52ffd200739000070696374757265")):
    assert codings.decode(bytes.fromhex(coded), coding, 99) == b"picture", coding
outside = [name for name, module in sys.modules.items()
           if "-packages" in (getattr(module, "__file__", None) or "")]
assert not outside, f"modules from outside the artifact: {outside}"
loaded = [line.split(maxsplit=5)[-1].strip() for line in open("/proc/self/maps") if ".so" in line and "lib/lib" in line]
own = ("libgomp", "libquadmath", "libgfortran", "libopenblas")
foreign = {path for path in loaded if path.rpartition("/")[2].startswith(own) and not path.startswith(sys.argv[1])}
assert not foreign, f"libraries from outside the artifact: {foreign}"
'''


def elf_files(folder: Path):
    """Yield (path, ELFFile) of every ELF file below `folder`."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                if stream.read(4) == b"\x7fELF":
                    try:
                        yield path, ELFFile(stream)
                    except ELFError as error:
                        raise SystemExit(f"{path}: damaged ELF file: {error}") from error


def size(folder: Path) -> int:
    """Bytes of all files below `folder`: what Lambda counts against its unzipped limit."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def size_findings(folder: Path) -> list[str]:
    """What is wrong with the artifact's size."""
    room = UNZIPPED_BYTES - size(folder)
    return [] if room >= HEADROOM else [f"{size(folder):,} bytes unzipped: {room:,} below the limit, want {HEADROOM:,}"]


def dynamic_entries(path: Path, elf: ELFFile) -> tuple[list[str], list[Path], list[Path]]:
    """What an ELF file asks of the loader: names of needed libraries, folders of its RPATH, folders of its RUNPATH."""
    needed, folders = [], {"DT_RPATH": [], "DT_RUNPATH": []}
    section = elf.get_section_by_name(".dynamic")
    for tag in section.iter_tags() if isinstance(section, DynamicSection) else ():
        if tag.entry.d_tag == "DT_NEEDED":
            needed.append(tag.needed)
        elif tag.entry.d_tag in folders:
            for entry in (tag.rpath if tag.entry.d_tag == "DT_RPATH" else tag.runpath).split(":"):
                entry = entry.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", str(path.parent))
                folders[tag.entry.d_tag].append(Path(os.path.normpath(entry)))
    return needed, folders["DT_RPATH"], folders["DT_RUNPATH"]


ELF_NAMES = {"x86_64": "x64", "arm64": "AArch64"}  # pyelftools' names


def library_findings(folder: Path, architecture: str = runtime.HERE) -> list[str]:
    """Needed libraries that neither the artifact, where the loader looks, nor the runtime has.

    The loader's rules, ld.so(8): an object with a RUNPATH is served from there alone; one without is served from its
    own RPATH and from those of the objects that loaded it.
    """
    files, findings = {}, []
    for path, elf in elf_files(folder):
        files[path] = dynamic_entries(path, elf)
        if (built := elf.get_machine_arch()) != (ours := ELF_NAMES[architecture]):
            findings.append(f"{path.relative_to(folder)}: built for {built}, the function runs on {ours}")
    inherited = {path: set() for path in files}

    def found(path, name):
        _, rpath, runpath = files[path]
        places = runpath or [*rpath, *inherited[path], *([path.parent] if name.startswith(LOADED_BEFORE) else [])]
        return next((place / name for place in places if place / name in files), None)

    changed = True
    while changed:
        changed = False
        for path, (needed, rpath, _) in files.items():
            for library in filter(None, (found(path, name) for name in needed)):
                more = {*rpath, *inherited[path]} - inherited[library]
                inherited[library] |= more
                changed |= bool(more)
    return findings + [
        f"{path.relative_to(folder)}: needs {name}, which neither the artifact nor the runtime has"
        for path, (needed, _, _) in files.items()
        for name in needed
        if name not in RUNTIME_LIBRARIES and not found(path, name)
    ]


def newest_symbols(name: str) -> dict[str, tuple[int, ...]]:
    """The newest version of each family of symbols that the runtime `name` has."""
    return AMAZON_LINUX_2 if name == "python3.11" else AMAZON_LINUX_2023


def symbol_findings(folder: Path, name: str = runtime.THIS) -> list[str]:
    """Symbol versions of system libraries that are newer than the runtime's."""
    findings = []
    for path, elf in elf_files(folder):
        for section in elf.iter_sections():
            if not isinstance(section, GNUVerNeedSection):
                continue
            for library, versions in section.iter_versions():
                if library.name not in RUNTIME_LIBRARIES:
                    continue
                for version in versions:
                    family, _, number = version.name.partition("_")
                    newest = newest_symbols(name).get(family)
                    if not number[:1].isdigit():
                        findings += [f"{path.relative_to(folder)}: {library.name} {version.name}: not a public version"]
                    elif newest is None or tuple(map(int, number.split("."))) > newest:
                        place = path.relative_to(folder)
                        findings.append(f"{place}: {library.name} {version.name}: newer than {newest}")
    return findings


def runner(name: str, architecture: str) -> list[str] | None:
    """The command that starts a Python of the runtime on the architecture; None where this machine has no such."""
    if architecture == runtime.HERE:
        return [runtime.interpreter(name)]
    qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    root = os.environ.get("QEMU_LD_PREFIX", "")
    python = Path(root, "usr", "bin", name)
    if architecture != "arm64" or not qemu or not root or not python.exists():
        return None
    return [qemu, "-L", root, str(python)]


def run_findings(folder: Path, name: str = runtime.THIS, architecture: str = runtime.HERE) -> list[str]:
    """What goes wrong when a Python of the runtime that sees only the artifact imports the function and predicts.

    Nothing where it cannot be run here (`runner`).
    """
    command = runner(name, architecture)
    if command is None:
        return []
    environment = {"PATH": "/usr/bin:/bin", "AWS_DEFAULT_REGION": "us-east-1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-I", "-S", "-c", PROBE, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120 if architecture == runtime.HERE else 600,
    )
    return [] if done.returncode == 0 else [f"import and predict: {(done.stderr or done.stdout).strip()[-2000:]}"]


def verify(folder: Path, name: str = runtime.THIS, architecture: str = runtime.HERE) -> list[str]:
    """All findings for the artifact in `folder` on the runtime `name`, worst first; empty when it can run."""
    folder = folder.resolve()
    if not any(folder.glob("*.py")):
        return [f"{folder}: no artifact here; run `sam build` first"]
    findings = library_findings(folder, architecture) + symbol_findings(folder, name) + size_findings(folder)
    return findings or run_findings(folder, name, architecture)


def how_run(name: str, architecture: str) -> str:
    """How `verify` ran the artifact, in words."""
    if architecture == runtime.HERE:
        return "run: fine"
    return "run under qemu-user: fine" if runner(name, architecture) else "NOT RUN: this machine is another"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artifact", type=Path)
    folder, name, architecture = parser.parse_args().artifact, runtime.chosen(), runtime.architecture()
    findings = verify(folder, name, architecture)
    for finding in findings:
        print(f"verify: {finding}", file=sys.stderr)
    if not findings:
        used = size(folder)
        room = UNZIPPED_BYTES - used
        print(
            f"verified for {name} on {architecture}: {used:,} bytes unzipped, {room:,} below the limit; "
            f"libraries, symbols: fine; {how_run(name, architecture)}"
        )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
