"""A few bundled drawings, a scan of them as it is asked for, and a server that knows what they show."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ood_core.decoding.thumbnail import clean_picture
from ood_core.image_questions import prompt
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Read, Scan
from tests.pipelines.judges.openai_server import Reply, Request, says

PRIVATE = "where the artist lives"


def write_drawing(path: Path, content: bytes) -> None:
    """A PNG file of a drawing that tells of its artist: in its text, and in its EXIF data."""
    text, exif = PngInfo(), Image.Exif()
    text.add_text("Comment", PRIVATE)
    exif[0x010E] = PRIVATE
    Image.open(io.BytesIO(content)).save(path, pnginfo=text, exif=exif)


def drawings_asked(drawings: Path, bank: Path, output: Path, **changes: Any) -> Scan:
    """By consensus over neglabel, in shards of 12."""
    settled: dict[str, Any] = {
        "method": ("neglabel", "consensus"),
        "param": {"neglabel.groups": 5},
        "encode": EncodePool(workers=1),
        "read": Read(images_per_shard=12),
        **changes,
    }
    return Scan(input=(str(drawings),), labels=str(bank), output=str(output), **settled)


def seen_as(drawings: Path) -> dict[bytes, str]:
    """The name of the drawing that each picture shows, as pictures are to be sent."""
    return {clean_picture(path.read_bytes()): path.stem for path in drawings.iterdir()}


def truth_about(names: dict[bytes, str]) -> Callable[[Request], Reply]:
    """Animals belong, at 0.9; computers do not, at 0.1."""

    def reply(request: Request) -> Reply:
        [content] = request.pictures
        subject = names[content].partition("-")[0]
        if request.question == prompt(None):
            return says(f"A drawing: {subject}.")
        if subject == "animals":
            return says("Yes", Yes=-0.105361, No=-2.302585)
        return says("No", No=-0.105361, Yes=-2.302585)

    return reply
