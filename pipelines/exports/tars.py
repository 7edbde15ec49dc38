"""Writes tars without some of their images: all other members as they are, byte for byte."""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from pipelines.errors import ReadError
from pipelines.exports.read_back import MismatchError
from pipelines.inputs.readers.tar import BLOCK, Member, read_members

CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class KeptImages:
    """Which records of a tar are kept.

    `keys`, `keep`: of each record, as the scan has read them. `damaged`: the scan has found damage, or could not read
    on; then a member that belongs to no kept image goes too, for it may be of one that nobody knows. `breaks_off`: what
    comes behind these records the scan could not read.
    """

    keys: list[str]
    keep: list[bool]
    damaged: bool = False
    breaks_off: bool = False
    kept: frozenset[str] = field(init=False)
    dropped: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        for name, is_kept in (("kept", True), ("dropped", False)):
            keys = (key for key, keep in zip(self.keys, self.keep, strict=True) if keep is is_kept)
            object.__setattr__(self, name, frozenset(map(sample_of, keys)) - {""})

    def keeps_beside(self, name: str) -> bool:
        """Whether a member stays that is no image: one that belongs to dropped images and to no kept one goes."""
        if not name:  # a directory
            return True
        sample = sample_of(name.removeprefix("./")) if "." in name.rpartition("/")[2] else ""
        return sample in self.kept or not (self.damaged or sample in self.dropped)


def sample_of(name: str) -> str:
    """What the files of one WebDataset sample have in common: the path up to the first dot of the file's name.

    "" of a hidden file, which is of no sample.
    """
    folder, slash, file = name.rpartition("/")
    stem = file.partition(".")[0]
    return f"{folder}{slash}{stem}" if stem else ""


def filtered_tar(file: BinaryIO, size: int, images: KeptImages) -> Iterator[bytes]:
    """The bytes of a tar of `size` bytes without the images that are dropped, what belongs to them, and damage.

    A hard link to a member that is not there any more becomes a file with the same bytes. Raises MismatchError if a
    record is not the one that the scan has read in its place.
    """
    written = 0
    for part in _parts(file, size, images):
        for piece in part:
            written += len(piece)
            yield piece
    end = 2 * BLOCK
    yield bytes(end + -(written + end) % tarfile.RECORDSIZE)


def _parts(file: BinaryIO, size: int, images: KeptImages) -> Iterator[Iterable[bytes]]:
    """The bytes of each member that stays."""
    number, there = 0, dict[str, bool]()
    for member in read_members(file, size, max_bytes=-1):
        stays = images.keeps_beside(member.name)
        if member.record:
            if images.breaks_off and number == len(images.keys):
                return
            _check_key(images, number, member.record.key)
            stays = images.keep[number] and bool(member.stretches)
            number += 1
        if stays:
            lost = member.link is not None and member.data is not None and not there.get(member.link)
            yield _as_file(file, member) if lost else _copied(file, member.stretches)
        if member.name:
            there[member.name] = stays
    if number < len(images.keys):
        raise MismatchError(f"{number} records are in the tar, and {len(images.keys)} in the score table")


def _check_key(images: KeptImages, number: int, key: str) -> None:
    known = images.keys[number] if number < len(images.keys) else None
    if key != known:
        raise MismatchError(f"record {number} is {key!r} in the tar, and {known!r} in the score table")


def _copied(file: BinaryIO, stretches: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    for start, end in stretches:
        file.seek(start)
        while start < end:
            piece = file.read(min(CHUNK_BYTES, end - start))
            if not piece:
                raise ReadError(f"the tar ends at byte {start}, within a member that ends at {end}")
            start += len(piece)
            yield piece


def _as_file(file: BinaryIO, member: Member) -> Iterator[bytes]:
    """A hard link as a file with the bytes of what it names."""
    start, size = member.data or (0, 0)
    file.seek(member.stretches[-1][0])
    header = tarfile.TarInfo.frombuf(file.read(BLOCK), "utf-8", "backslashreplace")
    header.name, header.type, header.linkname, header.size = member.name, tarfile.REGTYPE, "", size
    yield header.tobuf(tarfile.PAX_FORMAT)
    yield from _copied(file, [(start, start + size)])
    yield bytes(-size % BLOCK)
