"""COBS, frames and what is between delimiters, over inputs of all kinds."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.serial_link import cobs, frames
from edge_runtime.serial_link.deframer import Deframer
from edge_runtime.serial_link.frames import Cancel, Data, Frame, FrameError, Hello, Reset, State, Terms, Welcome

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u24 = st.integers(0, 0xFFFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
mostly_zeros = st.lists(st.sampled_from([0, 0, 1, 255]), max_size=600).map(bytes)
offers = st.builds(
    Terms,
    version=u8,
    nonce=u32,
    frame=st.integers(64, 1024),
    message=st.integers(64, 0xFFFFFF),
    window=st.integers(32, 0xFFFF),
    pause=u16,
    requests=st.integers(1, 32),
    digest=st.binary(min_size=8, max_size=8),
)


def all_frames(server: bool) -> st.SearchStrategy[Frame]:
    """Every frame that a server, or a client, may send."""
    flag, side = st.booleans(), st.just(server)
    piece = st.binary(min_size=1, max_size=frames.largest_fragment(1024))
    data = st.builds(Data, u8, u8, u24, piece, side, flag, flag, flag)
    state = st.builds(State, u8, u8, u24, u16, side, flag, flag, flag, flag)
    reset = st.builds(Reset, u8, u8, side)
    if server:
        return st.one_of(data, state, reset, st.builds(Welcome, offers, u32))
    return st.one_of(data, state, reset, st.builds(Hello, offers), st.builds(Cancel, u8, u8))


def read(coded: bytes, server: bool) -> str:
    """The error's name, if it is none."""
    try:
        frames.decode(coded, server)
    except FrameError as error:
        return error.error
    return "a frame"


@given(st.one_of(st.binary(max_size=1200), mostly_zeros))
def test_cobs_there_and_back(content: bytes) -> None:
    """What is coded has no zero, is as long as promised at most, and is decoded to what it was."""
    coded = cobs.encode(content)
    assert 0 not in coded
    assert len(coded) <= max(1, len(content) + -(-len(content) // 254))
    assert cobs.decode(coded) == content


@given(st.binary(max_size=600))
def test_cobs_takes_anything(coded: bytes) -> None:
    """Whatever is decoded gives no more bytes than it had, or a CobsError."""
    with suppress(cobs.CobsError):
        assert len(cobs.decode(coded)) <= len(coded)


@given(st.booleans().flatmap(lambda server: st.tuples(st.just(server), all_frames(server))))
def test_frames_there_and_back(sent: tuple[bool, Frame]) -> None:
    """A frame is read as it was written, and is as large as its size says at most."""
    server, frame = sent
    wire = frames.encode(frame)
    assert wire[0] == wire[-1] == 0 and 0 not in wire[1:-1]
    assert len(wire) <= frames.size(len(frames._content(frame)) + 2) <= frames.LARGEST_FRAME
    assert frames.decode(wire[1:-1], not server) == frame


@given(st.binary(min_size=1, max_size=300), st.booleans())
def test_frames_take_anything(coded: bytes, server: bool) -> None:
    """Whatever lies between two delimiters is a frame or a counted error."""
    assert read(coded, server) in ("a frame", "crc", "cobs", "header", "echo")


@given(all_frames(True), st.data())
def test_three_flipped_bits_are_noticed(frame: Frame, data: st.DataObject) -> None:
    """Up to three flipped bits of the content are always found by the CRC-16."""
    content = bytearray(cobs.decode(frames.encode(frame)[1:-1]))
    for bit in data.draw(st.lists(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=3, unique=True)):
        content[bit // 8] ^= 1 << bit % 8
    assert read(cobs.encode(bytes(content)), False) == "crc"


@given(st.integers(frames.SMALLEST_FRAME // 2, frames.LARGEST_FRAME))
def test_fragments_fit(frame: int) -> None:
    """The largest fragment fits into a frame, and one byte more would not."""
    around = frames.DATA_AROUND
    assert frames.size(frames.largest_fragment(frame) + around) <= frame
    assert frames.size(frames.largest_fragment(frame) + 1 + around) > frame


@given(st.binary(max_size=2000), all_frames(True), st.integers(1, 50))
def test_whole_again_after_one_delimiter(noise: bytes, frame: Frame, step: int) -> None:
    """Whatever came before, the next frame is read: nothing but its own delimiters is needed."""
    deframer = Deframer(frames.LARGEST_FRAME)
    wire = noise + frames.encode(frame)
    found = [each for place in range(0, len(wire), step) for each in deframer.feed(wire[place : place + step])]
    assert found[-1] is not None and frames.decode(found[-1], False) == frame


@given(st.lists(st.binary(max_size=900), max_size=20))
def test_bounded(pieces: list[bytes]) -> None:
    """A receiver holds no more than one frame of its size, whatever arrives."""
    deframer = Deframer(256)
    for piece in pieces:
        for found in deframer.feed(piece):
            assert found is None or len(found) <= 254
        assert len(deframer._buffer) <= 254
