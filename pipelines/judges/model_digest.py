"""A fingerprint of the weights in a directory."""

import hashlib
from pathlib import Path

EDGE = 64 * 1024
"""Bytes read at either end of a file."""


def digest(directory: Path) -> str:
    """Twelve hexadecimal digits that differ for other weights.

    Made of the names, sizes and both ends of all files: reading hundreds of gigabytes would take too long.
    """
    found = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        size = path.stat().st_size
        found.update(f"{path.relative_to(directory)}\0{size}\0".encode())
        with path.open("rb") as file:
            found.update(file.read(EDGE))
            file.seek(max(0, size - EDGE))
            found.update(file.read(EDGE))
    return found.hexdigest()[:12]
