"""The machine that a measurement comes from, without its name."""

import os
import platform
from pathlib import Path


def _line(key: str) -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "unknown")


def cpu() -> str:
    """The processor's model."""
    return _line("model name")


def describe() -> dict:
    """Processor, cores, the instruction sets that matter here, memory and system."""
    sets = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
    flags = _line("flags").split()
    return {
        "cpu": f"{cpu()}, family {_line('cpu family')}",
        "cores": len(os.sched_getaffinity(0)),
        "instruction_sets": [name for name in sets if name in flags],
        "memory_gb": round(int(Path("/proc/meminfo").read_text().split()[1]) / 1e6),
        "system": f"{platform.system()} {platform.machine()}",
    }
