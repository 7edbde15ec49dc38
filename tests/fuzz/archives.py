"""Small tar archives of all kinds of members, by every writer at hand."""

import io
import random
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.inputs.readers.names import image_key
from pipelines.inputs.readers.record import Record

BLOCK = tarfile.BLOCKSIZE
STEMS = (
    "a",
    "./b",
    "dir/c",
    "_DSC 1",
    "Katze-ä-猫",
    "p/" * 60 + "q",
    "n" * 180,
    "x.y",
    "é" * 70,
    "d" * 90 + "/" + "e" * 90,
)
SHORT_STEMS = ("a", "./b", "dir/c", "_DSC 1", "x.y", "ä")
"""Names for which every format has room."""
SUFFIXES = (".jpg", ".jpg", ".PNG", ".webp", ".json", ".cls", "")
PAX_HEADERS = ({}, {"comment": "ü" * 300}, {"mtime": "1.25", "uid": "9999999999"}, {"SCHILY.xattr.user.a": "1"})

Write = Callable[[random.Random], bytes]


def by_tarfile(kind: int, stems: tuple[str, ...], pax_headers: bool = False) -> Write:
    """Archives of random members, of Python's own writer."""

    def write(chance: random.Random) -> bytes:
        buffer, written = io.BytesIO(), []
        common = chance.choice(PAX_HEADERS) if pax_headers else {}
        with tarfile.open(fileobj=buffer, mode="w", format=kind, pax_headers=common) as archive:
            for _ in range(chance.randint(1, 7)):
                name = chance.choice(stems) + chance.choice(SUFFIXES)
                member, content = member_of(name, written, chance)
                member.pax_headers = dict(chance.choice(PAX_HEADERS)) if pax_headers else {}
                archive.addfile(member, io.BytesIO(content))
                if member.isreg() or (member.linkname in written and member.islnk()):
                    written.append(name)
        return buffer.getvalue()

    return write


def member_of(name: str, written: list[str], chance: random.Random) -> tuple[tarfile.TarInfo, bytes]:
    """A member of a random kind and what it holds; links lead to a file that is written already, or to nothing.

    A name that is there already is a file once more, as `tar -r` writes it.
    """
    member, content = tarfile.TarInfo(name), b""
    kinds = [tarfile.REGTYPE] * 6 + [tarfile.LNKTYPE] * 2 + [tarfile.SYMTYPE, tarfile.DIRTYPE]
    member.type = tarfile.REGTYPE if name in written else chance.choice(kinds)
    if member.type == tarfile.REGTYPE:
        content = chance.randbytes(chance.choice([0, 1, 511, 512, 513, chance.randint(0, 1500)]))
        member.size = len(content)
    elif member.type != tarfile.DIRTYPE:
        member.linkname = chance.choice([*written, "gone.jpg"])
    return member, content


def by_gnu_tar(kind: str, stems: tuple[str, ...]) -> Write:
    """Archives of random files on disk, of GNU tar, with hard links, and holes where the format has a way for them."""

    def write(chance: random.Random) -> bytes:
        with TemporaryDirectory() as place:
            names = [_file(Path(place), chance.choice(stems), chance) for _ in range(chance.randint(1, 5))]
            (Path(place) / "link.jpg").hardlink_to(Path(place) / names[0])
            (Path(place) / "to.png").symlink_to("a.jpg")
            holes = ["-S"] if kind in ("oldgnu", "gnu", "pax") and chance.random() < 0.5 else []
            what = ["."] if chance.random() < 0.3 else [*dict.fromkeys(names), "link.jpg", "to.png"]
            command = ["tar", f"--format={kind}", *holes, "--sort=name", "-cf", "-", "-C", place, *what]
            return subprocess.run(command, check=True, capture_output=True).stdout

    return write


def _file(place: Path, stem: str, chance: random.Random) -> str:
    """Writes a file, the odd one of them mostly holes, and tells its name."""
    name = stem + chance.choice(SUFFIXES[:-1])
    (place / name).parent.mkdir(parents=True, exist_ok=True)
    with (place / name).open("wb") as file:
        file.write(chance.randbytes(chance.choice([0, 512, chance.randint(1, 1500)])))
        if chance.random() < 0.2:
            for _ in range(chance.randint(1, 12)):
                file.seek(65536, io.SEEK_CUR)
                file.write(b"data" * 64)
    return name


def joined(write: Write) -> Write:
    """Archives appended to each other as `tar -A` does: without the blocks that end the first."""
    return lambda chance: filled(unended(write(chance)) + unended(write(chance)))


def unended(content: bytes) -> bytes:
    """An archive without the blocks that end it."""
    kept = content.rstrip(b"\0")
    return kept + bytes(-len(kept) % BLOCK)


def filled(content: bytes) -> bytes:
    """An archive with the blocks that end it, in whole records."""
    whole = content + bytes(2 * BLOCK)
    return whole + bytes(-len(whole) % tarfile.RECORDSIZE)


def solaris(write: Write) -> Write:
    """The same archives with the type of Solaris's extended headers, which are pax's of old."""
    return lambda chance: bytes(_retyped(bytearray(write(chance)), tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE))


def _retyped(content: bytearray, old: bytes, new: bytes) -> bytearray:
    for start in headers(content):
        if content[start + 156 : start + 157] == old:
            content[start + 156 : start + 157] = new
            seal(content, start)
    return content


def seal(content: bytearray, start: int) -> None:
    """Makes the checksum of the header at a place right."""
    content[start + 148 : start + 156] = b"        "
    content[start + 148 : start + 156] = b"%06o\0 " % sum(content[start : start + BLOCK])


def headers(content: bytes | bytearray) -> list[int]:
    """Where blocks lie that are valid headers."""
    return [start for start in range(0, len(content), BLOCK) if _is_header(bytes(content[start : start + BLOCK]))]


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "backslashreplace")
    except tarfile.HeaderError:
        return False
    return True


FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
GNU_TARS = {"v7": SHORT_STEMS, "ustar": SHORT_STEMS, "oldgnu": STEMS, "gnu": STEMS, "posix": STEMS}
WRITERS: dict[str, Write] = {
    **{name: by_tarfile(kind, SHORT_STEMS if name == "ustar" else STEMS) for name, kind in FORMATS.items()},
    "pax with headers": by_tarfile(tarfile.PAX_FORMAT, STEMS, pax_headers=True),
    "solaris": solaris(by_tarfile(tarfile.PAX_FORMAT, STEMS)),
    "joined": joined(by_tarfile(tarfile.GNU_FORMAT, STEMS)),
    **{f"GNU tar, {kind}": by_gnu_tar(kind, stems) for kind, stems in GNU_TARS.items()},
}


def found_by_tarfile(content: bytes) -> tuple[list[Record], list[int]]:
    """What Python's own reader finds in a valid archive: the images' records, and by which byte each has ended."""
    found, ends, whole = [], [], {}
    with tarfile.open(fileobj=io.BytesIO(content), errors="backslashreplace") as archive:
        for info in archive:
            key = image_key(info.name)
            file = archive.extractfile(info) if info.isreg() and not info.issparse() else None
            if file:
                whole[info.name] = file.read()
            elif info.islnk() and info.linkname in whole:
                whole[info.name] = whole[info.linkname]
            else:
                whole.pop(info.name, None)
            if key is not None and not info.isdir():
                found.append(
                    Record(key, whole.get(info.name, b""), "ok" if info.name in whole else "unsupported-member")
                )
                ends.append(archive.offset)
    return found, ends
