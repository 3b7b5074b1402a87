"""`edge-flash`, as it is typed: keys, signatures, models pushed here and through a stand-in for ssh."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from firmware_hooks.errors import HookError
from firmware_hooks.flash import ssh
from firmware_hooks.flash.cli import COMMANDS, commands
from firmware_hooks.slots import statement
from tests.firmware_hooks.slots.releases import NAME, Releases

Run = Callable[..., Any]


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board's folders, named by the environment as its commands read it."""
    monkeypatch.setenv("EDGE_FLASH_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("EDGE_FLASH_KEYS", str(tmp_path / "keys"))
    monkeypatch.setenv("EDGE_RUNTIME_URL", f"unix://{tmp_path}/none.sock")
    (tmp_path / "keys").mkdir()
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(commands, [str(each) for each in arguments])


def said(*arguments: object) -> Any:
    """The JSON that a command prints when it succeeds."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def refused(*arguments: object) -> str:
    """The one line with which a command fails."""
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, before: str = "") -> None:
    """A program in ssh's place that runs the board's end here; `before` is put before it."""
    script = folder / "ssh"
    command = f"{sys.executable} -m firmware_hooks.flash.cli model receive"
    script.write_text(f'#!/bin/sh\n[ "$1" = -T ] || exit 9\n{before}{command}\n')
    script.chmod(0o755)
    monkeypatch.setenv(ssh.SSH, str(script))


def test_help_names_all_commands() -> None:
    """The commands are listed without being imported, and each is there."""
    result = run("--help")
    assert all(name in result.stdout for name in COMMANDS)
    for name in COMMANDS:
        assert run(name, "--help").exit_code == 0


def test_keys(board: Path) -> None:
    """A new key is private, can be shown, and is trusted where its public half is put; nothing is overwritten."""
    secret = board / "release"
    made = said("key", "new", secret)
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert said("key", "show", f"{secret}.pub")["key"] == made["key"]
    assert "cannot be made" in refused("key", "new", secret)
    assert said("key", "list")["keys"] == []
    (board / "keys" / "release.pub").write_text((board / "release.pub").read_text())
    assert said("key", "list")["keys"] == [made["key"]]
    assert "no public key" in refused("key", "show", secret)


def test_sign_push_roll_back(board: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sign, push, confirm, push the next, look, roll back: with a key that has a passphrase."""
    monkeypatch.setenv("EDGE_FLASH_PASSPHRASE", "correct horse")
    key = said("key", "new", board / "release")["key"]
    (board / "keys" / "release.pub").write_text((board / "release.pub").read_text())
    models = {version: board / f"{version}.tflite" for version in (1, 2)}
    for version, model in models.items():
        model.write_bytes(releases.models[version].read_bytes())
    signed = said("model", "sign", models[1], "--key", board / "release", "--version", 1)
    assert signed == {"signature": f"{models[1]}.sig", "name": NAME, "version": 1, "key": key}
    pushed = said("model", "push", models[1], "--name", NAME)
    assert (pushed["changed"], pushed["version"], pushed["state"], pushed["active"]) == (True, 1, "trial", "a")
    assert said("model", "push", models[1])["changed"] is False
    assert said("model", "confirm")["state"] == "good"
    pushed = said("model", "push", models[2], "--key", board / "release", "--version", 2)
    assert (pushed["version"], pushed["state"]) == (2, "trial")
    assert Path(said("model", "start")["models"][0]["path"]).read_bytes() == models[2].read_bytes()
    shown = said("model", "status")["models"][0]
    assert (shown["name"], shown["active"], shown["floor"]) == (NAME, "b", 1)
    assert {name: (slot["state"], slot["key"], slot["wrong"]) for name, slot in shown["slots"].items()} == {
        "a": ("good", key, None),
        "b": ("trial", key, None),
    }
    assert "version 2  trial, started 1 times" in run("model", "status").stdout
    assert said("model", "rollback")["version"] == 1
    assert Path(said("model", "start")["models"][0]["path"]).read_bytes() == models[1].read_bytes()
    monkeypatch.setenv("EDGE_FLASH_PASSPHRASE", "wrong")
    assert "cannot be used" in refused("model", "sign", models[1], "--key", board / "release", "--version", 1)


def test_watching_ends_without_a_trial(board: Path) -> None:
    """`watch --once` has nothing to do where no model is on trial."""
    result = run("model", "watch", "--once")
    assert (result.exit_code, result.stdout) == (0, "")


def test_refusals_are_sentences(board: Path, releases: Releases) -> None:
    """What is wrong with a model, a signature or a name is said in one line, with status 1."""
    model = board / "m.tflite"
    model.write_bytes(releases.models[1].read_bytes())
    assert "--version" in refused("model", "push", model)
    assert "not signed" in refused("model", "push", model, "--version", 1)
    assert "holds none" in refused("model", "status", "--name", NAME)
    assert run("model", "status").stdout == "no model was pushed yet\n"
    assert "holds none" in refused("model", "rollback")
    signature = board / f"m.tflite{statement.SUFFIX}"
    signature.write_bytes(releases.statement(2))
    assert "another file" in refused("model", "push", model)
    signature.write_bytes(releases.statement(1))
    assert "not trusted here (trusted: none)" in refused("model", "push", model)
    assert "not other" in refused("model", "push", model, "--name", "other")
    (board / "not.tflite").write_bytes(b"x" * 100)
    assert "cannot be used" in refused("model", "push", board / "not.tflite", "--version", 1)


def test_unsigned_where_the_board_allows_it(board: Path, releases: Releases) -> None:
    """With the file `unsigned-allowed` among its keys a board takes models without a signature."""
    (board / "keys" / "unsigned-allowed").touch()
    model = board / "m.tflite"
    model.write_bytes(releases.models[1].read_bytes())
    assert said("model", "push", model, "--version", 1, "--no-switch")["active"] is None
    assert said("model", "switch", "--name", NAME)["version"] == 1
    assert "not signed, verified" in run("model", "status").stdout


def test_over_ssh(board: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Push, look, confirm and roll back on a board that is reached through ssh; refusals come with their reason."""
    stand_in(board, monkeypatch)
    (board / "keys" / "test.pub").write_text((releases.keys / "test.pub").read_text())
    there = ("--to", "ssh://edge@board:2222")
    models = {version: (releases.models[version], releases.signature(version)) for version in (1, 2)}
    for version, (model, signature) in models.items():
        pushed = said("model", "push", model, "--signature", signature, *there)
        assert (pushed["changed"], pushed["version"]) == (True, version)
        assert said("model", "confirm", *there)["state"] == "good"
    assert said("model", "push", models[2][0], *there)["changed"] is False
    assert "version 1 is not newer than 2" in refused("model", "push", models[1][0], *there)
    assert said("model", "rollback", *there)["version"] == 1
    assert said("model", "status", *there) == said("model", "status")


def test_a_broken_line_is_continued(board: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the line breaks in the middle the second push sends only the rest."""
    (board / "keys" / "test.pub").write_text((releases.keys / "test.pub").read_text())
    releases.signature(3)
    stand_in(board, monkeypatch, "dd bs=1 count=60000 status=none | ")
    assert "goes on from there" in refused("model", "push", releases.models[3], "--to", "ssh://board")
    part = next((board / "models").rglob("incoming/model.tflite"))
    assert 0 < part.stat().st_size < 60_000
    size = releases.models[3].stat().st_size
    stand_in(board, monkeypatch, f"dd bs=1 count={size - part.stat().st_size + 2000} status=none | ")
    assert said("model", "push", releases.models[3], "--to", "ssh://board")["version"] == 3


def test_nothing_is_left_to_send(board: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that was cut when all of the model was there, and not yet in its slot, ends without another byte of it."""
    (board / "keys" / "test.pub").write_text((releases.keys / "test.pub").read_text())
    releases.signature(3)
    stand_in(board, monkeypatch, "dd bs=1 count=60000 status=none | ")
    assert "goes on from there" in refused("model", "push", releases.models[3], "--to", "ssh://board")
    next((board / "models").rglob("incoming/model.tflite")).write_bytes(releases.models[3].read_bytes())
    stand_in(board, monkeypatch, "timeout 60 ")
    assert said("model", "push", releases.models[3], "--to", "ssh://board")["version"] == 3


def test_a_board_that_says_nothing(board: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ssh that fails, and a shell that greets, are told apart; addresses that are options are none."""
    stand_in(board, monkeypatch, "exit 255; ")
    assert "did not answer (ssh ended with status 255)" in refused("model", "status", "--to", "ssh://board")
    stand_in(board, monkeypatch, "echo Welcome; ")
    assert "does its shell print a greeting" in refused("model", "status", "--to", "ssh://board")
    for target in ("board", "ssh://", "ssh://-oProxyCommand=x", "ssh://a b", "ssh://me@", "http://board"):
        with pytest.raises(HookError, match="no address"):
            ssh.arguments(target)
    assert ssh.arguments("ssh://[::1]:22")[-3:] == ["--", "::1", "edge-flash model receive"]
