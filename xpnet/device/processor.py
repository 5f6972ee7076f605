"""What the processor can do, as far as the system tells without any library."""

from functools import cache
from pathlib import Path

__all__ = ["has_bf16"]

CPUINFO = Path("/proc/cpuinfo")

BF16 = {"avx512_bf16", "amx_bf16"}
"""The instructions that multiply matrices in bf16, as Linux calls them."""


@cache
def has_bf16() -> bool | None:
    """Return whether the processor multiplies matrices in bf16; None where the system does not tell."""
    try:
        lines = CPUINFO.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    flags = next((line for line in lines if line.startswith("flags")), None)
    return None if flags is None else bool(BF16 & set(flags.split()))
