"""What the processor supports, as far as the system reports it without a library."""

from functools import cache
from pathlib import Path

__all__ = ["has_bf16"]

CPUINFO = Path("/proc/cpuinfo")

BF16 = {"avx512_bf16", "amx_bf16"}
"""Linux's names for the instruction sets that multiply matrices in bf16."""


@cache
def has_bf16() -> bool | None:
    """Return whether the processor multiplies matrices in bf16; None if the system does not report it."""
    try:
        lines = CPUINFO.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    flags = next((line for line in lines if line.startswith("flags")), None)
    return None if flags is None else bool(BF16 & set(flags.split()))
