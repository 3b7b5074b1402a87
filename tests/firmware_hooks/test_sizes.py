"""The C client's sizes, and what it needs of a libc."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.firmware_hooks.c_client import SOURCES
from tests.firmware_hooks.sizes import CORES, measure

pytestmark = pytest.mark.firmware

CODE, MEMORY, STACK = 4096, 1024, 512
"""bytes that are allowed"""


@pytest.mark.parametrize("core", CORES)
def test_it_fits(core: str) -> None:
    """All of it together keeps to 4 KB of code, 1 KB of RAM beside its buffers, and 512 bytes of stack."""
    sizes = measure(core)
    assert sizes.code <= CODE
    assert sizes.data + sizes.link <= MEMORY
    assert max(sizes.stack.values()) <= STACK


def test_nothing_but_memcpy_and_memset_is_needed(firmware: Path) -> None:
    """No symbol is left to a libc or to the compiler's own library."""
    objects = firmware / "objects"
    objects.mkdir()
    flags = ["-mcpu=cortex-m0", "-mthumb", "-Os", "-ffreestanding", "-c"]
    subprocess.run(["arm-none-eabi-gcc", *flags, *sorted(SOURCES.glob("*.c"))], cwd=objects, check=True)
    files = sorted(objects.glob("*.o"))
    listed = subprocess.run(["arm-none-eabi-nm", *files], check=True, capture_output=True, text=True).stdout
    undefined = set(re.findall(r" U (\w+)", listed))
    assert {name for name in undefined if not name.startswith("edge_")} == {"memcpy", "memset"}
