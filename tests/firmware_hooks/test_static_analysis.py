"""What compilers and checkers say of the C sources: nothing."""

import subprocess
from pathlib import Path

import pytest

from tests.firmware_hooks.c_client import SOURCES, WARNINGS

pytestmark = pytest.mark.firmware

HOME = SOURCES.parent
POSIX = HOME / "examples" / "posix" / "ask.c"
BARE = sorted((HOME / "examples" / "cortex_m").glob("*.c"))
CORTEX = ["-D__ARM__", "--target=arm-none-eabi", "-mcpu=cortex-m3", "-ffreestanding"]


def run(*command: str | Path) -> str:
    ended = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("standard", ["c99", "c11"])
def test_compilers_have_nothing_to_say(compiler: str, standard: str, tmp_path: Path) -> None:
    """Client and POSIX example compile without a warning, as strictly as can be asked."""
    flags = [f"-std={standard}" if flag.startswith("-std=") else flag for flag in WARNINGS]
    more = [
        "-Wshadow",
        "-Wstrict-prototypes",
        "-Wmissing-prototypes",
        "-Wcast-qual",
        "-Wundef",
        "-Wvla",
        "-Wsign-conversion",
    ]
    sources = [*sorted(SOURCES.glob("*.c")), POSIX]
    for optimise in ("-O0", "-Os", "-O3"):
        run(compiler, *flags, *more, optimise, f"-I{SOURCES}", "-o", tmp_path / "ask", *sources)


@pytest.mark.parametrize("core", ["atmega328p", "atmega2560"])
def test_eight_bits_have_nothing_to_say(core: str, tmp_path: Path) -> None:
    """Where an int has 16 bits, as on Arduinos with an AVR, there is no warning either."""
    for source in sorted(SOURCES.glob("*.c")):
        run("avr-gcc", *WARNINGS, f"-mmcu={core}", "-Os", "-ffreestanding", "-c", "-o", tmp_path / "object.o", source)


def test_it_can_be_included_from_cpp(tmp_path: Path) -> None:
    """The headers are C++ as well, as Arduino has it."""
    source = tmp_path / "sketch.cpp"
    source.write_text('#include "edge_ask.h"\nint main() { edge_link link; return edge_link_up(&link); }\n')
    run(
        "gcc",
        "-x",
        "c++",
        "-std=c++11",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{SOURCES}",
        "-fsyntax-only",
        "-Wno-uninitialized",
        source,
    )


def test_clang_tidy_has_nothing_to_say() -> None:
    """The checks in .clang-tidy pass."""
    run("clang-tidy", "--quiet", *sorted(SOURCES.glob("*.c")), POSIX, "--", "-std=c99", f"-I{SOURCES}")
    run("clang-tidy", "--quiet", *BARE, "--", "-std=c99", f"-I{SOURCES}", *CORTEX)


def test_cppcheck_has_nothing_to_say() -> None:
    """All of cppcheck's checks pass, but for functions that only users call."""
    flags = ["--std=c99", "--enable=all", "--inconclusive", "--error-exitcode=1", "--quiet", "--inline-suppr"]
    hidden = ["--suppress=missingIncludeSystem", "--suppress=unusedFunction"]
    run("cppcheck", *flags, *hidden, f"-I{SOURCES}", SOURCES, HOME / "examples", HOME / "fuzz")
