"""What lies below a folder, links followed: each entry as its file system describes it, by path."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

Entry = dict[str, Any]
"""`name`, `type` and `size` of a file, and what tells of its version."""

LINK, READ_ALREADY = "broken links", "links to folders that are read already"
"""The types of entries that stand for links of which nothing more is listed."""


def below(files: AbstractFileSystem, path: str) -> dict[str, Entry]:
    """All that lies below a folder, but for folders.

    Of a local folder, links to files and to folders are followed, a folder is gone through once whatever leads to it.
    Raises OSError for a folder that may not be read.
    """
    if isinstance(files, LocalFileSystem):
        return {entry["name"]: entry for entry in _below_local(path.rstrip("/") or "/")}
    found: Any = files.find(path, detail=True)
    return found


def described(path: str) -> Entry:
    """A local path, or what it links to. Its type: file, directory, other or `LINK`."""
    try:
        found = Path(path).stat()
    except OSError:  # gone, or a link to itself
        return {"name": path, "type": LINK, "size": 0}
    kinds = ((stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"))
    kind = next((kind for is_kind, kind in kinds if is_kind(found.st_mode)), "other")
    return {
        "name": path, "type": kind, "size": found.st_size, "mtime": found.st_mtime, "id": (found.st_dev, found.st_ino),
    }  # fmt: skip


def _below_local(root: str) -> Iterator[Entry]:
    """Real folders first, so that what lies in one is not listed under a link to it."""
    folders, links, seen = [described(root)], [], set()
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        if folder["id"] in seen:
            yield {"name": folder["name"], "type": READ_ALREADY, "size": 0}
            continue
        seen.add(folder["id"])
        with os.scandir(folder["name"]) as entries:
            for item in sorted(entries, key=lambda item: item.name, reverse=True):
                entry = described(item.path)
                if entry["type"] != "directory":
                    yield entry
                elif item.is_symlink():
                    links.append(entry)
                else:
                    folders.append(entry)
        if not folders:
            links.sort(key=lambda link: link["name"], reverse=True)
