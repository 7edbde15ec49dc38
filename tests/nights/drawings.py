"""Drawings for nights of scans: animals that belong, in many variations, and computers that do not."""

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps

from tests.conftest import DEMO

SHARD = 100
"""Drawings of a shard."""


def drawings(subject: str) -> list[bytes]:
    """All bundled drawings of a subject that lie in tars, in order."""
    found: list[bytes] = []
    for path in sorted((DEMO / "shards").glob(f"{subject}-*.tar")):
        with tarfile.open(path) as tar:
            members = [member for member in tar if member.name.endswith(".png")]
            found += [tar.extractfile(member).read() for member in members]  # pyright: ignore[reportOptionalMemberAccess]
    return found


def varied(drawing: bytes, variation: int) -> bytes:
    """A drawing as somebody else would have uploaded it: mirrored, cropped a little, brighter or darker."""
    picture = Image.open(io.BytesIO(drawing)).convert("RGB")
    if variation % 2:
        picture = ImageOps.mirror(picture)
    edge = (variation // 2) % 3 * min(picture.size) // 50
    picture = picture.crop((edge, edge // 2, picture.width - edge // 2, picture.height - edge))
    picture = ImageEnhance.Brightness(picture).enhance(1 + (variation // 6 % 4 - 1.5) / 15)
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def animals(which: Sequence[bytes], count: int, first: int = 0) -> list[bytes]:
    """So many pictures of animals, from variation number `first` on."""
    return [varied(which[number % len(which)], (first + number) // len(which)) for number in range(count)]


def write_shard(path: Path, belonging: Sequence[bytes], foreign: Sequence[bytes] = ()) -> None:
    """A tar of pictures; the foreign ones are called so, which no scan looks at."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        named = [(f"animal-{number:03d}.png", content) for number, content in enumerate(belonging)]
        named += [(f"foreign-{number:03d}.png", content) for number, content in enumerate(foreign)]
        for name, content in named:
            member = tarfile.TarInfo(f"{path.stem}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
