"""Reads the images of tar files, strictly: what is damaged or missing becomes a record that says so, never silence.

`tarfile` in stream mode takes a tar that was cut at a member boundary, or whose next header is damaged, for a shorter
valid one. Here every header's checksum is checked, after damage the next valid header is looked for, and an archive
must end with its end-of-archive blocks, behind which nothing comes but the padding of a record.
"""

import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from ood_core.decoding.kinds import kind_of_bytes
from pipelines.errors import ReadError
from pipelines.inputs.readers.names import image_key, passed_over_as
from pipelines.inputs.readers.record import Record

BLOCK = tarfile.BLOCKSIZE
ZEROS = bytes(BLOCK)
MAX_NAME_BYTES = 2**16
MAX_SIZE_DIGITS = 20
NAMES_NEXT = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
GNU_DUMPDIR = b"D"
"""A directory in an incremental archive, with a list of its files."""
OWN_SIZE = (*NAMES_NEXT, tarfile.XGLTYPE)
GNU_NAMES = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
"""What the data of GNU's members for long names stands for, by the name that pax has for it."""

ReadAt = Callable[[int, int], bytes]
"""So many bytes from a place on."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a tar holds at one place: a member, or damage.

    `stretches`: from which byte to which its headers and its data lie, the member's own header first in the last one;
    none of damage. `name`: "" of directories and of what is no file. `record`: of an image, and of damage. `link`: what
    a hard link names. `data`: from which byte on, and how many, the bytes of a file, or of what a hard link names.
    """

    stretches: tuple[tuple[int, int], ...] = ()
    name: str = ""
    record: Record | None = None
    link: str | None = None
    data: tuple[int, int] | None = None


def read_tar(
    file: BinaryIO,
    size: int,
    max_bytes: int,
    url: str = "",
    read_at: ReadAt | None = None,
    passed_over: Counter[str] | None = None,
) -> Iterator[Record]:
    """The images of a tar of `size` bytes at `url`, in order; other members are counted in `passed_over`, by kind.

    A record's key is the member's name without its image suffix, which is WebDataset's key for `000123.jpg`. A hard
    link is the image that it names, read by `read_at`; without it, from `file`.
    """
    for member in read_members(file, size, max_bytes, read_at, passed_over):
        if member.record:
            yield replace(member.record, url=url)


def read_members(
    file: BinaryIO,
    size: int,
    max_bytes: int,
    read_at: ReadAt | None = None,
    passed_over: Counter[str] | None = None,
) -> Iterator[Member]:
    """All that a tar holds, in order; the records are those of `read_tar`, without their URL.

    With -1 for `max_bytes` no image is read. Between a member with stretches and the next the file may be moved.
    """
    members = _Members(file, max_bytes, read_at, Counter() if passed_over is None else passed_over)
    damage_start: int | None = None
    zeros_start: int | None = None
    extended: dict[str, str] = {}
    headers: list[tuple[int, int]] = []
    while (offset := file.tell()) + BLOCK <= size:
        block = _read_exactly(file, BLOCK)
        if block == ZEROS:
            if extended and damage_start is None:  # a name, and then no member
                damage_start = offset
            zeros_start, extended, headers = offset if zeros_start is None else zeros_start, {}, []
            continue
        if zeros_start is not None and damage_start is None:  # behind the end of an archive nothing comes
            damage_start = zeros_start
        zeros_start = None
        member = _header(block)
        if member is None:
            damage_start, extended, headers = offset if damage_start is None else damage_start, {}, []
            continue
        if damage_start is not None:
            yield Member(record=_damage(damage_start, offset))
            damage_start = None
        end = _data_end(file, size, block, member, extended)
        if end > size:
            yield Member(record=_cut(member, extended, file.tell(), size))
            return
        if member.type in NAMES_NEXT:
            try:
                extended |= _extended(file, member)
                headers.append((offset, end))
            except ValueError:
                damage_start = offset
        elif member.type == tarfile.XGLTYPE:
            yield Member(((offset, end),))
        else:
            yield members.member(member, extended, (*headers, (offset, end)))
            extended, headers = {}, []
        file.seek(end)
    breaks_off = zeros_start is None or any(_read_exactly(file, size - file.tell()))
    if zeros_start is not None and damage_start is None and not breaks_off and size > _padded(zeros_start):
        damage_start = zeros_start
    if damage_start == 0:
        yield Member(record=_no_tar(file, size))
        return
    if damage_start is not None:
        yield Member(record=_damage(damage_start, size))
    if breaks_off:
        error = f"the tar ends at byte {size} without end-of-archive blocks"
        yield Member(record=Record("", status="truncated-archive", error=error))


def _padded(end: int) -> int:
    """The most bytes of an archive whose last member ends at `end`: two blocks of zeros follow, and a record is
    filled with more."""
    return -(-(end + 2 * BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


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
    """The properties that a pax header or a GNU long name gives to the member behind it. Raises ValueError."""
    if member.size > MAX_NAME_BYTES:
        raise ValueError(f"an extended header of {member.size} bytes")
    content = file.read(member.size)
    if member.type in GNU_NAMES:
        content = content.rstrip(b"\0")
        if b"\0" in content:
            raise ValueError("a name with a zero byte")
        return {GNU_NAMES[member.type]: content.decode("utf-8", "backslashreplace")}
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


@dataclass(frozen=True)
class _Members:
    """Makes records of members, and remembers where the data of each lies, by name, for the hard links to it."""

    file: BinaryIO
    max_bytes: int
    read_at: ReadAt | None
    passed_over: Counter[str]
    places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def member(
        self, member: tarfile.TarInfo, extended: dict[str, str], stretches: tuple[tuple[int, int], ...]
    ) -> Member:
        """The member whose data comes next."""
        record, name = self.record(member, extended), _name(member, extended)
        link = extended.get("linkpath", member.linkname) if member.islnk() else None
        is_folder = member.isdir() or member.type == GNU_DUMPDIR
        return Member(stretches, "" if is_folder else name, record, link, self.places.get(name))

    def record(self, member: tarfile.TarInfo, extended: dict[str, str]) -> Record | None:
        """The record of a member whose data comes next; None, and counted, if it is no image."""
        name, target = _name(member, extended), extended.get("linkpath", member.linkname)
        sparse = member.type == tarfile.GNUTYPE_SPARSE or any(name.startswith("GNU.sparse") for name in extended)
        place = self.places.get(target) if member.islnk() else None
        if member.isreg() and not sparse:
            place = self.file.tell(), _size(member, extended)
        if place:
            self.places[name] = place
        else:
            self.places.pop(name, None)
        if member.isdir() or member.type == GNU_DUMPDIR:
            return None
        if (key := image_key(name)) is None:
            self.passed_over[passed_over_as(name)] += 1
            return None
        if place:
            return self._of(key, *place, linked=member.islnk())
        if member.islnk():
            return Record(key, status="unsupported-member", error=f"a hard link to {target!r}, which is not before it")
        return Record(key, status="unsupported-member", error=f"a tar member of type {member.type.decode('latin-1')!r}")

    def _of(self, key: str, offset: int, size: int, linked: bool = False) -> Record:
        """The record of an image whose data lies here; `linked`: elsewhere than where the file is read now."""
        if size > self.max_bytes:
            error = f"{size} bytes, more than {self.max_bytes}"
            return Record(key, status="too-large", error=error, offset=offset, length=size)
        if linked and self.read_at:
            return Record(key, self.read_at(offset, size) if size else b"", offset=offset, length=size)
        self.file.seek(offset)
        return Record(key, _read_exactly(self.file, size), offset=offset, length=size)


def _name(member: tarfile.TarInfo, extended: dict[str, str]) -> str:
    return extended.get("GNU.sparse.name") or extended.get("path", member.name)


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


def _no_tar(file: BinaryIO, size: int) -> Record:
    """The record that stands for a file without a single header; says what it is, if that is known."""
    file.seek(0)
    kind = kind_of_bytes(_read_exactly(file, min(size, 1024)))
    error = f"no tar{f', but {kind}' if kind else ''}: no valid header from its first byte to its last"
    return Record("", status="damaged-archive", error=error, offset=0, length=size)


def _cut(member: tarfile.TarInfo, extended: dict[str, str], offset: int, size: int) -> Record:
    """The record of the member within which the tar ends; `offset`: where its data begins."""
    key, error = image_key(_name(member, extended)) or "", f"the tar ends at byte {size}, within {member.name!r}"
    return Record(key, status="truncated-archive", error=error, offset=offset, length=size - offset)
