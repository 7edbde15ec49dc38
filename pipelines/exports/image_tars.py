"""Writes image files into tars that WebDataset reads: every image a sample of its own."""

import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence

from pipelines.inputs.readers.names import IMAGE_SUFFIXES, suffix_of
from pipelines.inputs.readers.tar import BLOCK

NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\\]")
"""Characters that no name in a tar needs, and that some programs take for something else."""


def member_names(keys: Sequence[str]) -> list[str]:
    """Names for images in one tar, as close to their keys as can be: none leads out of a folder, none is twice.

    Nor do two differ by nothing but what follows a dot, for WebDataset would take them for parts of one sample.
    """
    taken, names = set[str](), []
    for number, key in enumerate(keys):
        stem, suffix = _safe(key)
        while stem in taken:
            stem = f"{stem}-{number}"
        taken.add(stem)
        names.append(f"{stem}{suffix}")
    return names


def _safe(key: str) -> tuple[str, str]:
    """A path that stays below the folder where it is unpacked, in two parts: without dots, and the image's suffix."""
    path = NOT_IN_NAMES.sub("_", key.partition("://")[2] or key)
    folders = [part for part in path.split("/") if part not in ("", ".", "..")] or ["image"]
    file = folders.pop()
    suffix = suffix_of(file) if suffix_of(file) in IMAGE_SUFFIXES else ""
    stem = file[: len(file) - len(suffix)].replace(".", "_") or "image"
    return "/".join([*folders, stem]), file[len(file) - len(suffix) :]


def tar_of(files: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """The bytes of a tar of files, given as names and contents, and nothing that depends on when or by whom."""
    written = 0
    for name, content in files:
        header = tarfile.TarInfo(name)
        header.size = len(content)
        head = header.tobuf(tarfile.PAX_FORMAT)
        yield head
        yield content
        yield bytes(-len(content) % BLOCK)
        written += len(head) + len(content) + -len(content) % BLOCK
    end = 2 * BLOCK
    yield bytes(end + -(written + end) % tarfile.RECORDSIZE)
