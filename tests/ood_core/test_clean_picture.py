"""Pictures that are shown to a model, or sent away: pixels, and nothing else that their file held."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ood_core.decoding import DecodeError
from ood_core.decoding.thumbnail import CLEAN_SIDE, LEAST_SIDE, clean_picture

SECRET = b"51.4769 N, somebody's home"


def photo(width: int, height: int) -> Image.Image:
    cells = np.random.default_rng(3).integers(0, 256, (6, 8, 3), np.uint8)
    return Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, form: str, **more: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **more)
    return file.getvalue()


def with_everything(form: str) -> bytes:
    """A file that holds the secret as EXIF, as ICC profile, as XMP, as comment or text, and behind its end."""
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    more: dict[str, object] = {"exif": exif, "icc_profile": SECRET}
    if form == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_text("Author", SECRET.decode())
        text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
        more["pnginfo"] = text
    else:
        more |= {"xmp": SECRET} | ({"comment": SECRET} if form == "JPEG" else {})
    return saved(photo(200, 120), form, **more) + SECRET


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_nothing_of_the_files_metadata_goes_out(form: str) -> None:
    content = with_everything(form)
    assert SECRET in content
    clean = clean_picture(content)
    image = opened(clean)
    assert SECRET not in clean and b"Exif" not in clean and b"ICC_PROFILE" not in clean
    assert not image.getexif() and set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert image.size == (200, 120)  # EXIF orientation is left alone, as where images are encoded
    assert list(segments(clean)) == ["APP0", "DQT", "SOF", "DHT", "SOS"]


def segments(jpeg: bytes) -> list[str]:
    """The kinds of a JPEG's segments before its pixels, each once."""
    kinds = {0xE0: "APP0", 0xDB: "DQT", 0xC0: "SOF", 0xC4: "DHT", 0xDA: "SOS"}
    found, place = dict[str, None](), 2
    while True:
        marker, length = struct.unpack_from(">xBH", jpeg, place)
        found[kinds.get(marker, hex(marker))] = None
        if marker == 0xDA:
            return list(found)
        place += 2 + length


@pytest.mark.parametrize(
    ("size", "clean_size"),
    [
        ((1000, 500), (448, 224)),
        ((300, 448), (300, 448)),
        ((4000, 4000), (448, 448)),
        ((2000, 4), (448, LEAST_SIDE)),
        ((1, 1), (LEAST_SIDE, LEAST_SIDE)),
    ],
)
def test_the_longer_side_is_cut_down_and_no_side_is_too_short_for_a_model(
    size: tuple[int, int], clean_size: tuple[int, int]
) -> None:
    assert opened(clean_picture(saved(photo(*size), "PNG"))).size == clean_size


def test_pixels_stay_close_to_what_they_were() -> None:
    image = photo(CLEAN_SIDE, 300)
    found = np.asarray(opened(clean_picture(saved(image, "PNG"))), int)
    assert np.abs(found - np.asarray(image, int)).mean() < 2


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_pictures_of_any_mode_become_rgb(mode: str) -> None:
    image = Image.new(mode, (40, 40)) if mode == "I;16" else photo(40, 40).convert(mode)
    assert opened(clean_picture(saved(image, "TIFF"))).mode == "RGB"


def bomb() -> bytes:
    """A PNG whose header claims more pixels than are decoded."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + saved(photo(9, 9), "PNG")[33:]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", "empty-file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unreadable-image"),
        (bomb(), "too-large"),
        (saved(photo(99, 99), "JPEG")[:-300], "truncated-image"),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused(content: bytes, status: str) -> None:
    with pytest.raises(DecodeError) as raised:
        clean_picture(content)
    assert raised.value.status == status


def test_the_callers_limits_are_kept() -> None:
    with pytest.raises(DecodeError, match="more than 1000"):
        clean_picture(saved(photo(100, 100), "PNG"), max_pixels=1000)
    with pytest.raises(DecodeError, match="scans, more than 2"):
        clean_picture(saved(photo(100, 100), "JPEG", progressive=True), max_scans=2)
    assert opened(clean_picture(saved(photo(100, 100), "PNG"), max_side=64)).size == (64, 64)
