"""The archive after the flatbuffer."""

from __future__ import annotations

import io
import zipfile

import pytest

from edge_runtime.archive import MAX_ENTRIES, ArchiveError, open_archive

NETWORK = b"the network"


def archived(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    buffer = io.BytesIO(NETWORK)
    with zipfile.ZipFile(buffer, "a", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        archive.comment = comment
    return buffer.getvalue()


def test_reads_what_zipfile_writes() -> None:
    """Entries that the standard library stored are read back, and the archive begins where the network ends."""
    archive = open_archive(memoryview(archived({"a.json": b"{}", "ü.md": b"# \xc3\xbc", "empty": b""})))
    assert archive.start == len(NETWORK)
    assert {name: archive.read(name, 100) for name in archive.entries} == {
        "a.json": b"{}",
        "ü.md": b"# \xc3\xbc",
        "empty": b"",
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK",
        NETWORK,
        archived({}),
        archived({"a": b"x"})[:-1],
        archived({"a": b"x"}) + b"\0",
        archived({"a": b"x"}, comment=b"hello"),
        archived({"a": b"x" * 100}, zipfile.ZIP_DEFLATED),
        archived({str(place): b"" for place in range(MAX_ENTRIES + 1)}),
        NETWORK + archived({"a": b"x"})[len(NETWORK) + 1 :],
    ],
    ids=["nothing", "two bytes", "none", "no entries", "cut", "longer", "comment", "compressed", "many", "shifted"],
)
def test_other_layouts_are_refused(data: bytes) -> None:
    """Whatever is not laid out as we write it is an ArchiveError."""
    with pytest.raises(ArchiveError):
        open_archive(memoryview(data))


def test_gap_between_entries_is_refused() -> None:
    """Bytes that belong to no entry could hide anything, so there may be none."""
    whole = archived({"a": b"first", "b": b"second"})
    archive = open_archive(memoryview(whole))
    offset, size, _ = archive.entries["a"]
    bloated = bytearray(whole[: offset + size] + b"gap" + whole[offset + size :])
    # Put the directory's two offsets right again.
    end = len(bloated) - 22
    bloated[end + 16 : end + 20] = (int.from_bytes(bloated[end + 16 : end + 20], "little") + 3).to_bytes(4, "little")
    second = bloated.rindex(b"PK\1\2")
    bloated[second + 42 : second + 46] = (int.from_bytes(bloated[second + 42 : second + 46], "little") + 3).to_bytes(
        4, "little"
    )
    with pytest.raises(ArchiveError, match="gaps"):
        open_archive(memoryview(bytes(bloated)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused() -> None:
    """Two entries of one name would leave open which one counts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    with pytest.raises(ArchiveError, match="twice"):
        open_archive(memoryview(buffer.getvalue()))


def test_reading_checks_presence_size_and_checksum() -> None:
    """A missing, oversized or damaged entry is an ArchiveError that names it."""
    data = bytearray(archived({"a": b"content"}))
    archive = open_archive(memoryview(data))
    with pytest.raises(ArchiveError, match="holds no b"):
        archive.read("b", 100)
    with pytest.raises(ArchiveError, match="a in the model file has 7 bytes"):
        archive.read("a", 6)
    data[data.index(b"content")] ^= 1
    with pytest.raises(ArchiveError, match="a in the model file is damaged"):
        archive.read("a", 100)
