"""The vectors are what the reference makes, and the reference agrees with itself."""

import binascii
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serial import reference, vectors

FRAME = 256


@pytest.fixture(scope="module")
def written() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(vectors.FILE.read_text(encoding="utf-8"))
    return read


def test_the_file_is_what_the_generator_writes(written: dict[str, Any], tmp_path: Any, monkeypatch: Any) -> None:
    """`python -m tests.serial.vectors` reproduces vectors.json byte for byte."""
    monkeypatch.setattr(vectors, "FILE", tmp_path / "vectors.json")
    vectors.main()
    assert json.loads((tmp_path / "vectors.json").read_text(encoding="utf-8")) == written


def test_streams_are_received_as_they_say(written: dict[str, Any]) -> None:
    """Each stream's frames and errors are those that the rules give."""
    for stream in written["streams"]:
        found, errors = reference.receive(bytes.fromhex(stream["wire"]), FRAME)
        expected = {name: count for name, count in stream["errors"].items() if count}
        assert ([content.hex() for content in found], errors) == (stream["frames"], expected), stream["name"]


@given(st.binary(min_size=1, max_size=1200))
def test_cobs_comes_back(content: bytes) -> None:
    """What is stuffed has no zero in it, has the size that the document says, and is unstuffed to what it was."""
    coded = reference.stuff(content)
    assert 0 not in coded and reference.unstuff(coded) == content
    assert len(coded) + 2 <= reference.size(len(content))


@given(st.binary(max_size=100))
def test_crcs_are_those_of_binascii(data: bytes) -> None:
    """The bitwise CRCs are those that CPython and MicroPython come with."""
    assert reference.crc16(data) == binascii.crc_hqx(data, 0xFFFF) ^ 0xFFFF
    assert reference.crc32(data) == binascii.crc32(data)


def test_refused_cobs_is_refused(written: dict[str, Any]) -> None:
    """A code byte that points beyond the delimiter is an error."""
    assert all(reference.unstuff(bytes.fromhex(entry["coded"])) is None for entry in written["cobs_refused"])
