"""What a file's bytes are, where they are no picture that is read: for messages."""

import re
import struct

STARTS = (
    (b"version https://git-lfs", "a Git LFS pointer; the file itself was never fetched"),
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"8BPS", "Photoshop"),
    (b"PAR1", "Parquet"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"FUJIFILMCCD-RAW", "a raw photograph"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
)
BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"hevc"), "HEIC"),
    **dict.fromkeys((b"mif1", b"msf1"), "HEIF"),
    b"crx ": "a raw photograph",
}
MARKUP = (
    (re.compile(rb"<svg\b"), "SVG"),
    (re.compile(rb"<(!doctype html|html)\b"), "HTML"),
    (re.compile(rb"<"), "XML"),
)
LOSSLESS_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)


def kind_of_bytes(content: bytes) -> str | None:
    """What the bytes are, in words; None if nothing is known of them."""
    found = next((kind for start, kind in STARTS if content.startswith(start)), None)
    if found:
        return found
    if content.startswith(b"\xff\xd8"):
        return _kind_of_jpeg(content)
    if content[4:8] == b"ftyp":
        return BRANDS.get(content[8:12], "a video" if content[8:12] not in (b"avif", b"avis") else None)
    if not content.strip(b"\0"):
        return "nothing but zeros"
    return _kind_of_text(content[:1024])


def _kind_of_text(start: bytes) -> str | None:
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"<"):
        return next(kind for pattern, kind in MARKUP if pattern.search(text))
    if text[:1] in (b"{", b"["):
        return "JSON"
    printable = sum(byte in b"\t\n\r" or byte >= 32 for byte in start)
    return "text" if start.isascii() and printable == len(start) else None


def _kind_of_jpeg(content: bytes) -> str | None:
    """What is odd about a JPEG by the first header of a frame."""
    place = 2
    while place + 5 <= len(content):
        mark, marker, length = struct.unpack_from(">BBH", content, place)
        if mark != 0xFF:
            return None
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits = content[place + 4]
            if marker in LOSSLESS_FRAMES:
                return "a lossless, hierarchical or arithmetically coded JPEG"
            return f"a JPEG of {bits} bits" if bits != 8 else None
        place += 2 + length
    return None
