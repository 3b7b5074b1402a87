"""Which floating-point format a CPU multiplies matrices in the fastest."""

from __future__ import annotations

from pathlib import Path

# Instructions that multiply bfloat16: x86's AVX-512 and AMX, ARM's BF16 extension. Without them PyTorch converts.
_FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}


def bfloat16_is_faster(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this machine has instructions for bfloat16; false where it does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    features = next((line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not _FEATURES.isdisjoint(features.split())
