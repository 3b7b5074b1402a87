"""The profiles are complete, sourced and well formed, and a file that is not is refused with its place."""

from __future__ import annotations

import copy
import os
import subprocess
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boards.cpus import PARTS
from boards.errors import BoardError
from boards.profiles import FOLDER, board, every, identities, read
from boards.schema import Board, understand

WANTED = {
    "raspberry-pi-zero-2-w", "raspberry-pi-3b-plus", "raspberry-pi-4", "raspberry-pi-5", "raspberry-pi-cm4",
    "orange-pi-5", "rock-5", "beaglebone-ai-64", "jetson-nano", "generic-aarch64", "generic-armv7", "generic-x86-64",
}  # fmt: skip


def content(identity: str = "orange-pi-5") -> dict[str, Any]:
    return tomllib.loads((FOLDER / identity / "board.toml").read_text(encoding="utf-8"))


def test_every_board_is_there() -> None:
    """Each board has a profile, generic ones last, and each a profiling script that can be run."""
    assert set(identities()) == WANTED
    assert [each.generic for each in every()] == sorted(each.generic for each in every())
    for identity in identities():
        script = FOLDER / identity / "profile.sh"
        assert os.access(script, os.X_OK)
        assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
        assert f'profile.sh" {identity} ' in script.read_text()


@pytest.mark.parametrize("identity", sorted(each for each in WANTED if not each.startswith("generic-")))
def test_what_a_board_must_say(identity: str) -> None:
    """A real board names its CPU's parts rightly, memory, serial ports and traps, and how to free the console."""
    one = board(identity)
    assert one.cpu.clusters and one.features and one.memory and one.serial and one.traps
    for cluster in one.cpu.clusters:
        assert PARTS[cluster.part] == cluster.core
    dot_product = {"Cortex-A55", "Cortex-A76"}
    expected = all(cluster.core in dot_product for cluster in one.cpu.clusters)
    assert ("asimddp" in one.features.has, "atomics" in one.features.has) == (expected, expected)
    assert "i8mm" in one.features.lacks
    assert any(serial.console for serial in one.serial)


def test_no_two_boards_look_alike() -> None:
    """No compatible string or machine stands for two boards."""
    told = [each for one in every() for each in (*one.detect.compatible, *one.detect.machine)]
    assert len(set(told)) == len(told)


def set_at(told: Any, path: tuple[Any, ...], value: Any) -> None:
    for step in path[:-1]:
        told = told[step]
    told[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("format",), 2, "format is 2"),
        (("name",), "", "name must be a text"),
        (("name",), 7, "name must be a text"),
        (("colour",), "red", "nothing is called colour"),
        (("id",), "x", "id is the folder's name"),
        (("cpu",), 3, "cpu must be a table"),
        (("cpu", "clusters", 0, "mhz"), -1, "cpu: clusters[0]: mhz must be a whole number"),
        (("cpu", "clusters", 0, "part"), "0xd05", "part must be a whole number"),
        (("cpu", "clusters", 0, "cores"), 4, "cores must be a list"),
        (("cpu", "clusters", 0, "cores"), [4], "a core is in two clusters"),
        (("memory", "sources"), [], "a fact needs at least one source"),
        (("memory", "sources"), ["nowhere"], "sources has no nowhere"),
        (("sources", "idle"), "https://example.org", "nothing rests on the sources idle"),
        (("sources", "soc"), 5, "sources must be a table of texts"),
        (("detect", "machine"), ["aarch64"], "detect has either"),
        (("features", "lacks"), ["atomics"], "both there and missing"),
        (("watchdog",), {"device": "/dev/watchdog0", "sources": ["soc"]}, "identity is missing"),
        (("serial", 0, "console"), 1, "console must be true or false"),
    ],
)
def test_wrong_profiles(path: tuple[Any, ...], value: Any, said: str) -> None:
    """What is wrong in a profile is told with its place."""
    told = content()
    set_at(told, path, value)
    with pytest.raises(BoardError) as raised:
        understand("orange-pi-5", told)
    assert said in str(raised.value)
    assert str(raised.value).startswith("orange-pi-5/board.toml")


def places(told: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(told, dict):
        found += [each for key, value in told.items() for each in places(value, (*path, key))]
    if isinstance(told, list):
        found += [each for index, value in enumerate(told) for each in places(value, (*path, index))]
    return found


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@given(data=st.data(), identity=st.sampled_from(sorted(WANTED)))
def test_any_change_is_a_profile_or_an_error(data: st.DataObject, identity: str) -> None:
    """With anything in the place of anything there is a profile or one clear error, nothing else."""
    told = copy.deepcopy(content(identity))
    set_at(told, data.draw(st.sampled_from(places(told))), data.draw(VALUES))
    with suppress(BoardError):
        assert isinstance(understand(identity, told), Board)


def test_unreadable_files(tmp_path: Path) -> None:
    """A missing file, one that is no TOML and an unknown board are errors that name what was looked for."""
    with pytest.raises(BoardError, match="cannot be read"):
        read(tmp_path / "board.toml")
    (tmp_path / "board.toml").write_text("format =")
    with pytest.raises(BoardError, match="is no TOML"):
        read(tmp_path / "board.toml")
    with pytest.raises(BoardError, match="there are beaglebone-ai-64, "):
        board("toaster")
