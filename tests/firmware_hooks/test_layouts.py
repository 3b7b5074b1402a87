"""Each build system finds all sources, once, where they are."""

import re

import pytest

from tests.firmware_hooks.c_client import SOURCES

HOME = SOURCES.parent
FILES = sorted(path.name for path in SOURCES.glob("*.c"))


@pytest.mark.parametrize("listing", ["CMakeLists.txt", "zephyr/CMakeLists.txt"])
def test_cmake_lists_every_source(listing: str) -> None:
    """ESP-IDF's and Zephyr's lists name the files in src, no more and no fewer."""
    assert sorted(re.findall(r"/(edge_\w+\.c)\b", (HOME / listing).read_text())) == FILES


def test_arduino_has_its_layout() -> None:
    """Arduino compiles src, and shows the sketch whose name is its folder's."""
    properties = dict(line.split("=", 1) for line in (HOME / "library.properties").read_text().splitlines())
    assert {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "architectures"} <= set(
        properties
    )
    assert (SOURCES / properties["includes"]).is_file()
    assert (HOME / "examples" / "Ask" / "Ask.ino").is_file()


def test_zephyr_finds_its_files() -> None:
    """module.yml names a folder with a CMakeLists.txt, and a Kconfig."""
    module = (HOME / "zephyr" / "module.yml").read_text()
    assert "cmake: zephyr\n" in module and "kconfig: zephyr/Kconfig\n" in module
    assert (HOME / "zephyr" / "Kconfig").is_file()


def test_there_is_one_copy() -> None:
    """Every source is in one place only."""
    names = [path.name for path in HOME.rglob("*.[ch]")]
    assert len(names) == len(set(names))
