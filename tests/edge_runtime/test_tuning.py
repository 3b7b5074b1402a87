"""The file that `edge-boards tune` writes and that loading and serving read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime import tuning
from edge_runtime.commands import doctor
from edge_runtime.commands import serve as serving
from edge_runtime.errors import BackendError, InputError
from edge_runtime.model import load
from edge_runtime.tuning import Tuning, Unfit, cores_for, find, settle, write
from tests.backends import BEST, LAST

CORE = min(os.sched_getaffinity(0))


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only place where a tuning is looked for; there is none yet."""
    path = tmp_path / "folder" / "tuning.json"
    monkeypatch.setenv("EDGE_RUNTIME_TUNING", str(path))
    tuning._current.cache_clear()
    return path


def test_nothing_is_tuned_at_first(place: Path) -> None:
    """Without a file the best backend that is safe and one thread are taken, as ever."""
    assert find() is None
    settings = settle()
    assert (settings.selection.name, settings.threads, settings.cores) == (BEST, 1, None)


def test_load_takes_what_was_tuned(place: Path, models: Mapping[str, Path]) -> None:
    """A model is loaded with the tuned backend and threads, and says why."""
    write(place, LAST, 2, (CORE,), {"when": "today"})
    with load(models["tags"]) as model:
        assert (model.info.backend, model.info.threads) == (LAST, 2)
        assert str(place) in model.info.backend_reason
    assert find() == Tuning(LAST, 2, (CORE,), place)
    assert place.stat().st_mode & 0o777 == 0o644
    assert list(place.parent.iterdir()) == [place]


def test_what_is_asked_for_comes_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that are asked for replace the tuned ones and the cores; another backend leaves all of it aside."""
    write(place, LAST, 2, (CORE,), {})
    settings = settle(threads=1)
    assert (settings.selection.name, settings.threads, settings.cores) == (LAST, 1, None)
    settings = settle(BEST)
    assert (settings.selection.name, settings.threads, settings.cores) == (BEST, 1, None)
    settings = settle(LAST)
    assert (settings.selection.reason, settings.threads, settings.cores) == ("asked for", 2, (CORE,))
    monkeypatch.setenv("EDGE_RUNTIME_BACKEND", BEST)
    assert settle().selection.reason == "asked for by EDGE_RUNTIME_BACKEND"
    assert settle().threads == 1


def test_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """EDGE_RUNTIME_TUNING=off looks nowhere."""
    monkeypatch.setenv("EDGE_RUNTIME_TUNING", "off")
    assert tuning.places() == ()


def test_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The user's own file comes before the system's."""
    monkeypatch.delenv("EDGE_RUNTIME_TUNING")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert tuning.places() == (tmp_path / "edge-runtime/tuning.json", Path("/etc/edge-runtime/tuning.json"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cpu": "0123456789abcdef"}, "another kind of CPU"),
        ({"cores": 4096}, "another kind of CPU"),
        ({"runtime": "0.0.1"}, "version 0.0.1"),
        ({"format": 2}, "format"),
        ({"choice": {"backend": "magic", "threads": 1, "cores": None}}, "damaged"),
        ({"choice": {"backend": LAST, "threads": 0, "cores": None}}, "damaged"),
        ({"choice": {"backend": LAST, "threads": 1, "cores": []}}, "damaged"),
        ({"choice": None}, "damaged"),
    ],
)
def test_of_another_board(place: Path, change: dict[str, Any], reason: str) -> None:
    """What was measured elsewhere or with another runtime is left aside, and doctor says how to mend it."""
    write(place, LAST, 2, None, {})
    place.write_text(json.dumps(json.loads(place.read_text()) | change))
    unfit = find()
    assert isinstance(unfit, Unfit)
    assert reason in unfit.reason
    assert settle().selection.name == BEST
    told = [finding for finding in doctor.examine() if finding.subject == "tuning"]
    assert [(finding.state, finding.mend) for finding in told] == [("note", "edge-boards tune")]


@given(content=st.one_of(st.binary(), st.recursive(st.none(), st.lists).map(json.dumps).map(str.encode)))
def test_damaged(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """A file with anything in it is left aside, never an error."""
    path = tmp_path_factory.mktemp("tuning") / "tuning.json"
    path.write_bytes(content)
    assert isinstance(tuning._understood(path, content), Unfit)


def test_unreadable(place: Path) -> None:
    """A folder in the file's place is left aside too."""
    place.mkdir(parents=True)
    assert isinstance(find(), Unfit)


def test_too_long(place: Path) -> None:
    """A file far longer than any that is written is not read whole."""
    place.parent.mkdir()
    place.write_bytes(b" " * (tuning.MAX_SIZE + 1))
    assert isinstance(find(), Unfit)


def test_nowhere_to_write(tmp_path: Path) -> None:
    """A place that cannot be written is one error with the way out."""
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match="name another file"):
        write(tmp_path / "file" / "tuning.json", LAST, 1, None, {})


def test_doctor_tells_the_choice(place: Path) -> None:
    """Doctor shows backend, threads and cores."""
    write(place, LAST, 2, (0, 1), {})
    (told,) = [finding for finding in doctor.examine() if finding.subject == "tuning"]
    assert (told.state, told.found) == ("good", f"{LAST}, 2 thread(s), cores 0, 1 ({place})")


def test_cores_of_a_server(place: Path) -> None:
    """Workers keep to the tuned cores only where those suffice for all of them."""
    write(place, LAST, 2, (0, 1, 2, 3), {})
    assert cores_for("auto", None, 2) == (0, 1, 2, 3)
    assert cores_for("auto", None, 3) is None
    assert cores_for("auto", 1, 1) is None
    assert cores_for(BEST, None, 1) is None


def test_cores_by_name(place: Path) -> None:
    """`serve --cores` takes numbers and ranges, `all` and `auto`; nonsense and cores that are not there are errors."""
    assert serving._cores(f"{CORE}", None, "auto", 1) == (CORE,)
    assert serving._cores(f"{CORE}-{CORE + 1},{CORE}", None, "auto", 1) == (CORE, CORE + 1)
    assert serving._cores("all", None, "auto", 1) is None
    assert serving._cores("auto", None, "auto", 1) is None
    for wrong in ("", "a", "1-", "-1", "1,,2", "99999", "1023"):
        with pytest.raises(InputError, match="cores"):
            serving._cores(wrong, None, "auto", 1)


KEPT = """
import os, sys
from edge_runtime.own_process import keep_to
wanted = [int(each) for each in sys.argv[1].split(",")]
print(keep_to(wanted), sorted(os.sched_getaffinity(0)))
"""


def test_a_worker_keeps_to_its_cores() -> None:
    """A process is kept to the cores asked for; where none of them is there it runs on all it had."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def kept(cores: str) -> str:
        return subprocess.check_output([sys.executable, "-c", KEPT, cores], text=True, env=environment).strip()

    assert kept(str(CORE)) == f"True [{CORE}]"
    assert kept("1023") == f"False {sorted(os.sched_getaffinity(0))}"
