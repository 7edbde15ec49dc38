"""Reads the images of tar files, strictly: what is damaged or missing becomes a record that says so, never silence.

`tarfile` in stream mode takes a tar that was cut at a member boundary, or whose next header is damaged, for a shorter
valid one. Here every header's checksum is checked, after damage the next valid header is looked for, and an archive
must end with its end-of-archive blocks.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from pipelines.errors import ReadError
from pipelines.inputs.readers.record import IMAGE_SUFFIXES, Record

BLOCK = tarfile.BLOCKSIZE
ZEROS = bytes(BLOCK)
MAX_NAME_BYTES = 2**16
MAX_SIZE_DIGITS = 20
NAMES_NEXT = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)
OWN_SIZE = (*NAMES_NEXT, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK)


def read_tar(file: BinaryIO, size: int, max_bytes: int, url: str = "") -> Iterator[Record]:
    """The images of a tar of `size` bytes at `url`, in order; members that are not images are passed over.

    A record's key is the member's name without its image suffix, which is WebDataset's key for `000123.jpg`.
    """
    for record in _records(file, size, max_bytes):
        yield replace(record, url=url)


def _records(file: BinaryIO, size: int, max_bytes: int) -> Iterator[Record]:
    """The records without their URL."""
    damage_start: int | None = None
    zero_blocks = 0
    extended: dict[str, str] = {}
    while (offset := file.tell()) + BLOCK <= size:
        block = _read_exactly(file, BLOCK)
        if block == ZEROS:
            if extended and damage_start is None:  # a name, and then no member
                damage_start = offset
            zero_blocks, extended = zero_blocks + 1, {}
            continue
        if zero_blocks == 1 and damage_start is None:  # an archive ends with two
            damage_start = offset - BLOCK
        zero_blocks = 0
        member = _header(block)
        if member is None:
            damage_start, extended = offset if damage_start is None else damage_start, {}
            continue
        if damage_start is not None:
            yield _damage(damage_start, offset)
            damage_start = None
        end = _data_end(file, size, block, member, extended)
        if end > size:
            yield _cut(member, extended, file.tell(), size)
            return
        if member.type in NAMES_NEXT:
            try:
                extended |= _extended(file, member)
            except ValueError:
                damage_start = offset
        elif member.type not in (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK):
            yield from _image(file, member, extended, max_bytes)
            extended = {}
        file.seek(end)
    if damage_start is not None:
        yield _damage(damage_start, size)
    if not zero_blocks or any(_read_exactly(file, size - file.tell())):
        yield Record("", status="truncated-archive", error=f"the tar ends at byte {size} without end-of-archive blocks")


def _header(block: bytes) -> tarfile.TarInfo | None:
    """The member that a block is the header of; None if it is no valid header."""
    try:
        member = tarfile.TarInfo.frombuf(block, "utf-8", "backslashreplace")
    except tarfile.HeaderError:
        return None
    return member if member.size >= 0 else None


def _has_data(member: tarfile.TarInfo) -> bool:
    """Whether blocks of data follow the member's header."""
    return member.isreg() or member.type not in tarfile.SUPPORTED_TYPES or member.type in tarfile.GNU_TYPES


def _size(member: tarfile.TarInfo, extended: dict[str, str]) -> int:
    """Bytes of the member's data; an extended header before it goes first."""
    return member.size if member.type in OWN_SIZE else int(extended.get("size", member.size))


def _data_end(file: BinaryIO, size: int, block: bytes, member: tarfile.TarInfo, extended: dict[str, str]) -> int:
    """The byte at which the member's data ends and the next header begins.

    The map of an old GNU sparse file goes on in blocks of its own before the data.
    """
    if not _has_data(member):
        return file.tell()
    more = member.type == tarfile.GNUTYPE_SPARSE and block[482]
    while more and file.tell() + BLOCK <= size:
        more = _read_exactly(file, BLOCK)[504]
    return file.tell() + -(-_size(member, extended) // BLOCK) * BLOCK


def _extended(file: BinaryIO, member: tarfile.TarInfo) -> dict[str, str]:
    """The properties that a pax header or a GNU long name gives to the next member. Raises ValueError."""
    if member.size > MAX_NAME_BYTES:
        raise ValueError(f"an extended header of {member.size} bytes")
    content = file.read(member.size)
    if member.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.rstrip(b"\0").decode("utf-8", "backslashreplace")}
    found = dict(_pax_records(content))
    size = found.get("size", "0")
    if not size.isdecimal() or len(size) > MAX_SIZE_DIGITS:
        raise ValueError(f"a size of {size[:MAX_SIZE_DIGITS]!r}")
    return found


def _pax_records(content: bytes) -> Iterator[tuple[str, str]]:
    """Names and values in a pax header. Raises ValueError if it is malformed."""
    while content.strip(b"\0"):
        length, _, _ = content.partition(b" ")
        record, content = content[: int(length)], content[int(length) :]
        name, equals, value = record[len(length) + 1 :].partition(b"=")
        if len(record) != int(length) or not equals or not value.endswith(b"\n"):
            raise ValueError("a pax record of another length, without '=' or without end of line")
        yield name.decode("utf-8", "backslashreplace"), value[:-1].decode("utf-8", "backslashreplace")


def _image(file: BinaryIO, member: tarfile.TarInfo, extended: dict[str, str], max_bytes: int) -> Iterator[Record]:
    """The record of a member that is an image; nothing for any other."""
    key = _image_key(member, extended)
    if key is None or member.isdir():
        return
    sparse = member.type == tarfile.GNUTYPE_SPARSE or any(name.startswith("GNU.sparse") for name in extended)
    size = _size(member, extended)
    if sparse or not member.isreg():
        yield Record(key, status="unsupported-member", error=f"a tar member of type {member.type.decode('latin-1')!r}")
    elif size > max_bytes:
        error = f"{size} bytes, more than {max_bytes}"
        yield Record(key, status="too-large", error=error, offset=file.tell(), length=size)
    else:
        offset = file.tell()
        yield Record(key, _read_exactly(file, size), offset=offset, length=size)


def _image_key(member: tarfile.TarInfo, extended: dict[str, str]) -> str | None:
    """The member's name without its image suffix; None if it is no image."""
    name = extended.get("GNU.sparse.name") or extended.get("path", member.name)
    suffix = next((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), None)
    if suffix is None or name.rsplit("/", 1)[-1].startswith("._"):  # "._" is macOS's metadata of a file
        return None
    return name[: -len(suffix)].removeprefix("./")


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    """The next `size` bytes. Raises ReadError if there are fewer."""
    content = file.read(size)
    if len(content) != size:
        raise ReadError(f"{len(content)} of {size} bytes could be read before byte {file.tell()}")
    return content


def _damage(start: int, end: int) -> Record:
    """The record that stands for a damaged stretch of the tar."""
    error = f"no valid header from byte {start} to {end}; records may be lost here"
    return Record("", status="damaged-archive", error=error, offset=start, length=end - start)


def _cut(member: tarfile.TarInfo, extended: dict[str, str], offset: int, size: int) -> Record:
    """The record of the member within which the tar ends; `offset`: where its data begins."""
    key, error = _image_key(member, extended) or "", f"the tar ends at byte {size}, within {member.name!r}"
    return Record(key, status="truncated-archive", error=error, offset=offset, length=size - offset)
