import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ood_core.decoding import Decoder
from ood_core.preprocessing import Preprocessing
from pipelines.inputs.readers.record import Record
from pipelines.scans.workers.decode import Decoded, decode

SMALL = Preprocessing((8, 8))
NOISE = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
RED, BLUE = Image.new("RGB", (24, 20), (255, 0, 0)), Image.new("RGB", (24, 20), (0, 0, 255))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(content: bytes, max_pixels: int = 10**6) -> Decoded:
    return decode(Record("key", content), Decoder(SMALL, "exact", max_pixels))


def colour(found: Decoded) -> list[int]:
    """The mean colour of a picture."""
    assert found.status == "ok", found
    assert found.pixels is not None
    return found.pixels.reshape(-1, 3).mean(axis=0).round().astype(int).tolist()


FILES = {
    "JPEG": encoded(Image.fromarray(NOISE), "JPEG"),
    "progressive JPEG": encoded(Image.fromarray(NOISE), "JPEG", progressive=True),
    "PNG": encoded(Image.fromarray(NOISE), "PNG"),
    "WebP": encoded(Image.fromarray(NOISE), "WEBP"),
    "lossless WebP": encoded(Image.fromarray(NOISE), "WEBP", lossless=True),
    "BMP": encoded(Image.fromarray(NOISE), "BMP"),
    "GIF": encoded(Image.fromarray(NOISE), "GIF"),
    "TIFF": encoded(Image.fromarray(NOISE), "TIFF"),
    "LZW TIFF": encoded(Image.fromarray(NOISE), "TIFF", compression="tiff_lzw"),
}
LOSSLESS = ["PNG", "lossless WebP", "BMP", "TIFF", "LZW TIFF"]


@pytest.mark.parametrize("kind", FILES)
def test_every_format_gives_pixels_at_the_models_size_and_the_pictures_own_size(kind: str) -> None:
    found = decoded(FILES[kind])
    assert found.pixels is not None
    assert (found.status, found.width, found.height, found.pixels.shape) == ("ok", 24, 20, (8, 8, 3))
    if kind in LOSSLESS:
        np.testing.assert_array_equal(found.pixels, SMALL(Image.fromarray(NOISE)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_counts(kind: str) -> None:
    content = encoded(RED, kind, save_all=True, append_images=[BLUE, BLUE])
    assert colour(decoded(content)) == pytest.approx([255, 0, 0], abs=2)


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (RED.convert("CMYK"), "JPEG", [255, 0, 0]),
        (RED.convert("CMYK"), "TIFF", [255, 0, 0]),
        (RED.convert("YCbCr"), "JPEG", [255, 0, 0]),
        (Image.new("L", (24, 20), 77), "PNG", [77, 77, 77]),
        (Image.new("LA", (24, 20), (77, 9)), "PNG", [77, 77, 77]),
        (Image.new("RGBA", (24, 20), (10, 20, 30, 0)), "PNG", [10, 20, 30]),
        (Image.new("1", (24, 20), 1), "PNG", [255, 255, 255]),
        (Image.new("1", (24, 20), 1), "BMP", [255, 255, 255]),
        (Image.new("I;16", (24, 20), 128 * 256), "PNG", [128, 128, 128]),
        (Image.new("I;16", (24, 20), 128 * 256), "TIFF", [128, 128, 128]),
        (RED.quantize(4), "PNG", [255, 0, 0]),
        (RED.quantize(4), "GIF", [255, 0, 0]),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(image: Image.Image, kind: str, expected: list[int]) -> None:
    assert colour(decoded(encoded(image, kind))) == pytest.approx(expected, abs=2)


def test_a_palette_with_transparency_gives_its_colours() -> None:
    assert colour(decoded(encoded(RED.quantize(4), "PNG", transparency=0))) == [255, 0, 0]


def test_exif_orientation_is_left_alone_as_openclip_does() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(NOISE)
    turned = decoded(encoded(picture, "PNG", exif=exif))
    np.testing.assert_array_equal(turned.pixels, decoded(encoded(picture, "PNG")).pixels)
    assert (turned.width, turned.height) == (24, 20)


@pytest.mark.parametrize("kind", FILES)
def test_a_picture_cut_anywhere_has_a_status_and_raises_nothing(kind: str) -> None:
    content = FILES[kind]
    statuses = {decoded(content[:cut]).status for cut in range(1, len(content), max(1, len(content) // 150))}
    assert statuses <= {"ok", "truncated-image", "unreadable-image"}
    assert decoded(content[: len(content) // 2]).status in ("truncated-image", "unreadable-image")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_a_picture_that_breaks_off_in_its_pixels_is_truncated(kind: str) -> None:
    found = decoded(FILES[kind][: len(FILES[kind]) * 3 // 4])
    assert (found.status, found.pixels) == ("truncated-image", None)


@given(st.sampled_from(sorted(FILES)), st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=6))
@settings(max_examples=400)
def test_no_damage_to_a_picture_raises(kind: str, damage: list[tuple[float, int]]) -> None:
    content = bytearray(FILES[kind])
    for place, value in damage:
        content[int(place**3 * len(content))] = value  # most of it near the beginning
    found = decoded(bytes(content))
    assert (found.status == "ok") == (found.pixels is not None) == (found.error is None)


@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0"]), st.binary(max_size=400)
)
def test_random_bytes_are_unreadable(magic: bytes, rest: bytes) -> None:
    if magic or rest:
        assert decoded(magic + rest).status in ("unreadable-image", "truncated-image", "too-large")


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        encoded(RED, "PCX"),
        encoded(RED, "SGI"),
        encoded(RED, "PDF"),
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["HTML", "EPS", "PCX", "SGI", "PDF", "SVG"],
)
def test_what_is_in_no_supported_format_is_unreadable(content: bytes) -> None:
    assert decoded(content).status == "unreadable-image"


def test_no_bytes_are_an_empty_file() -> None:
    assert decoded(b"") == Decoded("empty-file", "0 bytes")


def test_an_error_record_keeps_its_status_and_reason() -> None:
    record = Record("k", status="truncated-archive", error="the tar ends")
    assert decode(record, Decoder(SMALL)) == Decoded("truncated-archive", "the tar ends")


def png_claiming(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(bytes(1000))
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, pixels, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff_claiming(width: int, height: int) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (279, 4, 100)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png_claiming(50_000, 50_000), "50000 x 50000 pixels, more than 100000000"),
        (tiff_claiming(2**32 - 1, 2**32 - 1), "4294967295 x 4294967295 pixels, more than 100000000"),
    ],
)
def test_a_decompression_bomb_is_too_large_before_a_pixel_is_decoded(content: bytes, message: str) -> None:
    assert decoded(content, max_pixels=100_000_000) == Decoded("too-large", message)


@pytest.mark.parametrize(("max_pixels", "status"), [(480, "ok"), (479, "too-large")])
def test_the_limit_on_pixels_is_inclusive(max_pixels: int, status: str) -> None:
    assert decoded(FILES["PNG"], max_pixels).status == status
