"""Memory that stays with a training process."""

from __future__ import annotations

import os
import subprocess
import sys

STEPS = """
import resource, sys
import torch
from converter.train.memory import keep_freed

if sys.argv[1] == "kept":
    keep_freed()

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        pieces = [torch.ones(2**21) for _ in range(12)]  # 96 MiB
        del pieces
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(2)
print(faults(10))
"""


PAGES = 10 * 12 * 2**23 // 4096
"""that the rounds touch"""


def faults(how: str) -> int:
    # glibc's own thresholds follow what is freed, and sometimes keep it by chance: here they begin, and would stay, low
    low = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    return int(subprocess.check_output([sys.executable, "-c", STEPS, how], env={**os.environ, **low}))


def test_freed_memory_is_used_again() -> None:
    """The system is asked for the pages of a step's tensors once, not in each step."""
    assert faults("by default") > 0.9 * PAGES
    assert faults("kept") < 0.05 * PAGES
