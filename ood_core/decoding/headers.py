"""Which files torchvision may decode: those whose headers leave no doubt that it does what Pillow would."""

import struct
from collections.abc import Iterator

from PIL.ImageFile import ImageFile

END_OF_JPEG = b"\xff\xd9"
END_OF_PNG = b"\0\0\0\0IEND\xaeB`\x82"
START_OF_SCAN = 0xDA
FRAMES = (0xC0, 0xC1, 0xC2)
"""Markers of the frames that are read: baseline, extended, progressive; all by Huffman codes."""

PASSED_OVER = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}
"""Markers of Huffman and quantization tables, restart intervals, comments and applications."""


def is_plain(image: ImageFile, content: bytes) -> bool:
    """Whether an opened picture is a whole RGB JPEG or PNG of 8 bits a channel, of one frame, with no transparency.

    The file's own header must give the size that Pillow says and that the limit on pixels was held against.
    """
    if image.mode != "RGB" or "transparency" in image.info:
        return False
    if image.format == "JPEG":
        return content.endswith(END_OF_JPEG) and list(_jpeg_frames(content)) == [(8, image.height, image.width, 3)]
    if image.format == "PNG" and image.get_format_mimetype() == "image/png":  # an animation's is image/apng
        header = struct.pack(">4sIIBB", b"IHDR", image.width, image.height, 8, 2)
        return content.endswith(END_OF_PNG) and content[12 : 12 + len(header)] == header
    return False


def _jpeg_frames(content: bytes) -> Iterator[tuple[int, int, int, int] | None]:
    """(bits, height, width, components) of the frames before the first scan; None for what is not plain."""
    place = 2
    while place + 4 <= len(content):
        mark, marker, length = struct.unpack_from(">BBH", content, place)
        if mark == 0xFF and marker == START_OF_SCAN:
            return
        if mark == 0xFF and marker in FRAMES and place + 10 <= len(content):
            yield struct.unpack_from(">BHHB", content, place + 4)
        elif mark != 0xFF or marker not in PASSED_OVER:
            break
        place += 2 + length
    yield None
