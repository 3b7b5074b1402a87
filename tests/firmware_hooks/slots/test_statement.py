"""What is signed has one way of being written, and no byte of it, or of the model, can change unseen."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.manifest import MAX_VERSION
from firmware_hooks.errors import HookError, Refused
from firmware_hooks.slots import keys, statement
from firmware_hooks.slots.description import describe
from firmware_hooks.slots.keys import Trust
from firmware_hooks.slots.statement import Statement
from firmware_hooks.slots.verification import verify
from tests.firmware_hooks.slots.releases import NAME, Releases

STATEMENTS = st.builds(
    Statement,
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True),
    version=st.integers(1, MAX_VERSION),
    size=st.integers(1, 2**31 - 1),
    sha512=st.binary(min_size=64, max_size=64).map(bytes.hex),
    runtime=st.just("0.1.0"),
    downgrade=st.booleans(),
    key=st.just("0123456789abcdef"),
    signature=st.binary(min_size=64, max_size=64).map(bytes.hex),
)


@given(STATEMENTS, st.booleans())
def test_round_trip(said: Statement, signed: bool) -> None:
    """What is written is read back, with and without a signature."""
    said = said if signed else replace(said, key=None, signature=None)
    assert statement.parse(said.encoded()) == said


@given(STATEMENTS, st.data())
def test_another_text_is_another_statement(said: Statement, data: st.DataObject) -> None:
    """A changed text is refused or says something else: there are no two ways to say the same."""
    text = bytearray(said.encoded())
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] = data.draw(st.integers(0, 255))
    try:
        found = statement.parse(bytes(text))
    except Refused:
        return
    assert (found == said) == (bytes(text) == said.encoded())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"squeezebert-edge model 2\n",
        b"\xff" * 400,
        b"x" * 5000,
        "name: ünïcode".encode(),
    ],
)
def test_no_statement(text: bytes) -> None:
    """Anything else is refused in a sentence."""
    with pytest.raises(Refused, match="edge-flash model sign"):
        statement.parse(text)


def test_each_byte_of_a_signature_file_counts(releases: Releases, tmp_path: Path) -> None:
    """A signature file with any one byte changed is refused, whichever it is."""
    good = releases.statement(1)
    releases.trust.check(statement.parse(good))
    for place in range(len(good)):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 7
        with pytest.raises(Refused):
            releases.trust.check(statement.parse(bytes(bad)))


def test_each_byte_of_a_model_counts(releases: Releases, tmp_path: Path) -> None:
    """A model's file with a byte changed, left out or added is refused; here at 300 places and at both ends."""
    content = bytearray(releases.models[1].read_bytes())
    model, signature = tmp_path / "model.tflite", tmp_path / "model.sig"
    signature.write_bytes(releases.statement(1))
    model.write_bytes(content)
    verify(model, signature, releases.trust)
    for place in [*range(0, len(content), len(content) // 300), len(content) - 1]:
        content[place] ^= 0x10
        model.write_bytes(content)
        with pytest.raises(Refused, match="not the one that was signed"):
            verify(model, signature, releases.trust)
        content[place] ^= 0x10
    for other in (content[:-1], content[1:], content + b"\0"):
        model.write_bytes(other)
        with pytest.raises(Refused, match="not the one that was signed"):
            verify(model, signature, releases.trust)


def test_signing_leaves_the_model_alone(releases: Releases) -> None:
    """The signature lies beside the model, which stays a .tflite with an archive that zip tools open."""
    before = releases.models[1].read_bytes()
    releases.signature(1)
    assert releases.models[1].read_bytes() == before
    with zipfile.ZipFile(releases.models[1]) as archive:
        assert archive.testzip() is None


def test_description(releases: Releases) -> None:
    """A statement says what the file is; without a version there is none."""
    said = describe(releases.models[2], 7)
    assert (said.name, said.version, said.size) == (NAME, 7, releases.models[2].stat().st_size)
    assert said.key is said.signature is None
    with pytest.raises(HookError, match="--version"):
        describe(releases.models[2], None)


def test_unsigned_models_need_leave(releases: Releases) -> None:
    """Without a signature a model is refused, unless the board was told to take such."""
    said = describe(releases.models[1], 1)
    with pytest.raises(Refused, match="not signed"):
        releases.trust.check(said)
    Trust({}, unsigned=True).check(said)


def test_keys_folder(releases: Releases, tmp_path: Path) -> None:
    """All keys of a folder are trusted, those that cannot be used are named, and a file switches signing off."""
    (tmp_path / "one.pub").write_text((releases.keys / "test.pub").read_text())
    (tmp_path / "two.pub").write_text("-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----\n")
    (tmp_path / "small.pub").write_text(keys.encode(bytes([1]) + bytes(31)))
    trust = keys.trusted(tmp_path)
    assert dict(trust.keys) == dict(releases.trust.keys)
    assert not trust.unsigned
    assert [reason.split("cannot")[0].split("/")[-1].strip() for reason in trust.unusable] == ["small.pub", "two.pub"]
    (tmp_path / keys.UNSIGNED_ALLOWED).touch()
    assert keys.trusted(tmp_path).unsigned
    assert keys.trusted(tmp_path / "none") == Trust({})
