import io
import pickle
import random
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin
from PIL.ImageFile import ImageFile

from ood_core.decoding import FORMATS, DecodeError, Decoder, Mode, Picture
from ood_core.decoding.headers import is_plain
from ood_core.decoding.scaling import scale_for
from ood_core.decoding.tensors import decoded
from ood_core.decoding.thumbnail import thumbnail
from ood_core.preprocessing import Preprocessing

SMALL = Preprocessing((16, 16))


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise at every scale, the finer the fainter, as photos have it."""
    generator = np.random.default_rng(seed)
    sides = [4 * 2**step for step in range(8)]
    layers = [Image.fromarray(generator.integers(0, 256, (side, side, 3), np.uint8)) for side in sides]
    stretched = [np.asarray(layer.resize((width, height)), np.float32) - 127.5 for layer in layers]
    total = sum(layer / 1.7**step for step, layer in enumerate(stretched)) + 127.5
    return Image.fromarray(np.clip(total, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif_turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


PHOTO = photo(96, 72)
PLAIN = {
    "JPEG": encoded(PHOTO, "JPEG"),
    "progressive JPEG": encoded(PHOTO, "JPEG", progressive=True),
    "JPEG with restarts": encoded(PHOTO, "JPEG", restart_marker_blocks=4),
    "JPEG of full colour": encoded(PHOTO, "JPEG", subsampling="4:4:4", quality=95),
    "JPEG of RGB": encoded(PHOTO, "JPEG", keep_rgb=True),
    "turned JPEG": encoded(PHOTO, "JPEG", exif=exif_turned(), comment=b"a comment"),
    "PNG": encoded(PHOTO, "PNG"),
    "turned PNG": encoded(PHOTO, "PNG", exif=exif_turned()),
}
GREY_16 = Image.fromarray(np.arange(72 * 96, dtype=np.uint16).reshape(72, 96))
ODD = {
    "grey JPEG": encoded(PHOTO.convert("L"), "JPEG"),
    "CMYK JPEG": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "JPEG of two pictures": encoded(PHOTO, "MPO", save_all=True, append_images=[PHOTO]),
    "JPEG before other bytes": PLAIN["JPEG"] + b"more",
    "grey PNG": encoded(PHOTO.convert("L"), "PNG"),
    "grey PNG of 16 bits": encoded(GREY_16, "PNG"),
    "PNG with a palette": encoded(PHOTO.quantize(9), "PNG"),
    "PNG with alpha": encoded(PHOTO.convert("RGBA"), "PNG"),
    "PNG with a transparent colour": encoded(PHOTO, "PNG", transparency=(1, 2, 3)),
    "animated PNG": encoded(PHOTO, "PNG", save_all=True, append_images=[photo(96, 72, 1)]),
    "PNG before other bytes": PLAIN["PNG"] + b"more",
    "WebP": encoded(PHOTO, "WEBP"),
    "GIF": encoded(PHOTO, "GIF"),
    "BMP": encoded(PHOTO, "BMP"),
    "TIFF": encoded(PHOTO, "TIFF", compression="tiff_lzw"),
}


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_rows(rows: bytes, header: bytes) -> bytes:
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


ODD["PNG of 16 bits a channel"] = png_of_rows(
    b"".join(b"\0" + np.repeat(row, 2).tobytes() for row in np.asarray(PHOTO)),
    struct.pack(">IIBBBBB", 96, 72, 16, 2, 0, 0, 0),
)


def outcome(content: bytes, mode: Mode, preprocessing: Preprocessing = SMALL) -> tuple[str, str] | tuple[int, int]:
    """Why there is no picture, or the picture's own size."""
    try:
        picture = Decoder(preprocessing, mode, 10**6)(content)
    except DecodeError as error:
        return error.status, error.message
    return picture.width, picture.height


def pixels(content: bytes, mode: Mode, preprocessing: Preprocessing = SMALL) -> np.ndarray:
    return Decoder(preprocessing, mode)(content).pixels.astype(int)


def opened(content: bytes) -> ImageFile:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("kind", [*PLAIN, *ODD])
def test_only_plain_files_are_left_to_torchvision(kind):
    content = (PLAIN | ODD)[kind]
    assert is_plain(opened(content), content) == (kind in PLAIN)


@pytest.mark.parametrize("kind", PLAIN)
def test_torchvision_decodes_plain_files_as_pillow_does(kind):
    tensor = decoded(PLAIN[kind], "PNG" in kind)
    assert tensor is not None
    np.testing.assert_array_equal(tensor.permute(1, 2, 0).numpy(), np.asarray(opened(PLAIN[kind])))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("target", [(32, 32), (33, 33), (48, 64), (64, 40), (100, 224)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_fast_pixels_are_within_2_of_exact_ones_whatever_the_geometry(kind, target, resize_mode, interpolation):
    preprocessing = Preprocessing(target, interpolation, resize_mode, fill_color=77)
    exact = pixels(PLAIN[kind], "exact", preprocessing)
    difference = np.abs(pixels(PLAIN[kind], "fast", preprocessing) - exact)
    assert exact.shape == (*target, 3)
    assert difference.max() <= 2
    assert difference.mean() < 0.1


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (3, 2), (1, 4000), (65_000, 1)])
@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_pictures_of_extreme_shape_are_alike_in_both_modes(kind, resize_mode, size):
    content = encoded(photo(*size), kind, **({"quality": 95} if kind == "JPEG" else {}))
    preprocessing = Preprocessing((32, 32), resize_mode=resize_mode)
    difference = np.abs(pixels(content, "fast", preprocessing) - pixels(content, "exact", preprocessing))
    assert difference.max() <= 2


@pytest.mark.parametrize("kind", ODD)
def test_what_is_not_plain_is_equal_in_both_modes(kind):
    np.testing.assert_array_equal(pixels(ODD[kind], "fast"), pixels(ODD[kind], "exact"))
    assert outcome(ODD[kind], "fast") == (96, 72)


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_exif_orientation_is_left_alone(kind, mode):
    np.testing.assert_array_equal(pixels(PLAIN[f"turned {kind}"], mode), pixels(PLAIN[kind], mode))


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize(("size", "scale"), [((400, 384), 8), ((405, 387), 8), ((383, 380), 4), ((300, 620), 8)])
def test_large_jpegs_are_scaled_as_they_are_decoded_and_stay_within_1_on_average(size, scale, resize_mode):
    content = encoded(photo(*size), "JPEG")
    target = (16, 8) if max(size) > 2 * min(size) else (16, 16)
    preprocessing = Preprocessing(target, resize_mode=resize_mode)
    difference = np.abs(pixels(content, "fast", preprocessing) - pixels(content, "exact", preprocessing))
    assert scale_for(opened(content), preprocessing) == scale
    assert outcome(content, "fast", preprocessing) == size
    assert difference.mean() < 1


def test_a_scaled_jpeg_keeps_its_place_to_a_fraction_of_a_pixel():
    """A width that 8 does not divide: its last column of blocks is cut off, and must not squeeze the others."""
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 385).round().astype(np.uint8)[None, :, None], (385, 1, 3)))
    content = encoded(ramp, "JPEG", quality=98)
    difference = pixels(content, "fast") - pixels(content, "exact")
    assert np.abs(difference).max() <= 1


LARGE = encoded(photo(400, 300), "JPEG")


@pytest.mark.parametrize("kind", [*PLAIN, "large JPEG"])
def test_a_file_cut_anywhere_fails_alike_in_both_modes(kind):
    content = PLAIN.get(kind, LARGE)
    step = len(content) // (25 if kind == "large JPEG" else 120)
    for cut in [*range(1, len(content), step), *range(len(content) - 12, len(content))]:
        assert outcome(content[:cut], "fast") == outcome(content[:cut], "exact"), cut
    assert outcome(content[: len(content) // 2], "fast")[0] == "truncated-image"


@pytest.mark.parametrize("kind", [*PLAIN, "large JPEG"])
def test_a_file_cut_anywhere_and_ended_again_fails_alike_or_looks_alike(kind):
    """Pillow takes a JPEG whose end of file comes early for whole, the rest of it grey: both modes do."""
    content = PLAIN.get(kind, LARGE)
    end = content[-12:] if "PNG" in kind else content[-2:]
    for cut in range(1, len(content), len(content) // 25):
        agree(content[:cut] + end)


@pytest.mark.parametrize("kind", [*PLAIN, "large JPEG"])
def test_a_file_with_bytes_changed_fails_alike_or_looks_alike(kind):
    content, draw = PLAIN.get(kind, LARGE), random.Random(kind)
    for _ in range(30 if kind == "large JPEG" else 150):
        damaged = bytearray(content)
        for _ in range(draw.choice([1, 1, 2, 5])):
            damaged[int(draw.random() ** 2 * len(content))] = draw.randrange(256)  # more of it near the beginning
        agree(bytes(damaged))


def agree(content: bytes) -> None:
    expected = outcome(content, "exact")
    assert outcome(content, "fast") == expected
    if not isinstance(expected[0], str):
        assert np.abs(pixels(content, "fast") - pixels(content, "exact")).mean() < 3


@pytest.mark.parametrize("place", [20, 30, 60])
def test_a_png_whose_checksums_are_wrong_is_decided_upon_by_pillow(place):
    content = bytearray(PLAIN["PNG"])
    content[place] ^= 1  # 20: the height; 30: the header's checksum; 60: pixels
    assert outcome(bytes(content), "fast") == outcome(bytes(content), "exact")


def test_a_png_with_a_wrong_checksum_of_its_pixels_is_read_as_pillow_reads_it():
    content = bytearray(PLAIN["PNG"])
    content[-13] ^= 1
    assert outcome(bytes(content), "fast") == (96, 72)
    np.testing.assert_array_equal(pixels(bytes(content), "fast"), pixels(bytes(content), "exact"))


def jpeg_frame(width: int, height: int, bits: int = 8) -> bytes:
    return b"\xff\xc0" + struct.pack(">HBHHB", 17, bits, height, width, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0])


def test_a_jpeg_with_two_frames_is_not_left_to_torchvision():
    """Pillow's limit is held against the last of them; another decoder might believe the first."""
    content = PLAIN["JPEG"][:2] + jpeg_frame(60_000, 60_000) + PLAIN["JPEG"][2:]
    assert opened(content).size == (96, 72)
    assert not is_plain(opened(content), content)
    assert outcome(content, "fast") == outcome(content, "exact")


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize(
    "content",
    [
        png_of_rows(bytes(1000), struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)),
        PLAIN["JPEG"][:20] + jpeg_frame(50_000, 50_000) + b"\xff\xda\0\x02\xff\xd9",
    ],
    ids=["PNG", "JPEG"],
)
def test_a_decompression_bomb_is_too_large_before_a_pixel_is_decoded(content, mode):
    assert outcome(content, mode) == ("too-large", "50000 x 50000 pixels, more than 1000000")


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", "empty-file", "0 bytes"),
        (b"<html></html>", "unreadable-image", "HTML, not a picture of the formats JPEG, PNG, WEBP, AVIF, GIF, BMP, "),
        (encoded(PHOTO, "PCX"), "unreadable-image", "not a picture of the formats JPEG, PNG, WEBP, AVIF, GIF, BMP, "),
        (PLAIN["JPEG"][:-700], "truncated-image", "image file is truncated"),
    ],
    ids=["nothing", "HTML", "PCX", "half a JPEG"],
)
def test_what_gives_no_picture_has_a_status_and_a_message(content, status, message, mode):
    found = outcome(content, mode)
    assert found[0] == status
    assert str(found[1]).startswith(message)


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize(("max_pixels", "refused"), [(96 * 72, False), (96 * 72 - 1, True)])
def test_the_limit_on_pixels_is_inclusive(max_pixels, refused, mode):
    decoder = Decoder(SMALL, mode, max_pixels)
    if refused:
        with pytest.raises(DecodeError, match="too-large"):
            decoder(PLAIN["JPEG"])
    else:
        assert decoder(PLAIN["JPEG"]).width == 96


@pytest.fixture
def torch_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("target", [16, 224])
def test_pixels_are_the_same_on_one_and_two_threads_of_torch_and_among_other_threads(torch_threads, target):
    contents = [*PLAIN.values(), *ODD.values(), LARGE]
    decoder = Decoder(Preprocessing((target, target)))
    torch_threads(1)
    expected = [decoder(content).pixels.tobytes() for content in contents]
    for threads in (1, 2):
        torch_threads(threads)
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(decoder, contents * 3))
        assert [picture.pixels.tobytes() for picture in found] == expected * 3


def test_odd_metadata_warns_nobody_and_leaves_other_warnings_alone():
    transparent = PHOTO.quantize(9)
    content = encoded(transparent, "PNG", transparency=bytes([0, 128, 255]))
    assert outcome(content, "fast") == (96, 72)
    broken_exif = encoded(PHOTO, "TIFF")[:-3]
    outcome(broken_exif, "exact")
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", UserWarning, stacklevel=1)


def test_exact_decoding_loads_no_torch():
    program = (
        "import sys; from ood_core.decoding import Decoder; from ood_core.preprocessing import Preprocessing;"
        "Decoder(Preprocessing((8, 8)), 'exact')(sys.stdin.buffer.read()); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], input=PLAIN["JPEG"]).returncode == 0


def test_decoders_and_their_errors_travel_between_processes():
    decoder = Decoder(SMALL, "exact", 1000)
    error = DecodeError("too-large", "10 x 200 pixels, more than 1000")
    assert pickle.loads(pickle.dumps(decoder)) == decoder  # noqa: S301
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)  # noqa: S301


def test_a_picture_holds_its_own_size_and_the_models_pixels():
    picture = Decoder(SMALL)(PLAIN["JPEG"])
    assert isinstance(picture, Picture)
    assert (picture.width, picture.height, picture.pixels.shape, picture.pixels.dtype) == (
        96,
        72,
        (16, 16, 3),
        np.uint8,
    )


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_thumbnail_shows_the_whole_picture_small(name):
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[:, 200:] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, name)
    with Image.open(io.BytesIO(thumbnail(file.getvalue()))) as small:
        assert (small.format, small.size, small.mode) == ("WEBP", (128, 96), "RGB")
        assert np.asarray(small)[:, 10].mean() < 5
        assert np.asarray(small)[:, -10].mean() > 250


def test_a_small_picture_is_its_own_thumbnail_without_metadata():
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x010F] = "somebody's camera"
    Image.new("RGB", (40, 20), "red").save(file, "JPEG", exif=exif)
    with Image.open(io.BytesIO(thumbnail(file.getvalue()))) as small:
        assert small.size == (40, 20)
        assert not small.getexif()


@pytest.mark.parametrize(("content", "status"), [(b"", "empty-file"), (b"no picture", "unreadable-image")])
def test_what_is_no_picture_has_no_thumbnail(content, status):
    with pytest.raises(DecodeError) as caught:
        thumbnail(content)
    assert caught.value.status == status


def test_a_picture_of_too_many_pixels_has_no_thumbnail():
    file = io.BytesIO()
    Image.new("1", (400, 300)).save(file, "PNG")
    with pytest.raises(DecodeError, match="400 x 300 pixels"):
        thumbnail(file.getvalue(), 119_999)


@pytest.mark.parametrize("name", [*FORMATS, "MPO"])
def test_every_usual_format_is_read_whatever_its_suffix_would_say(name):
    picture = PHOTO.resize((64, 64))  # icons are square
    expected = Decoder(SMALL, "exact")(encoded(picture, "BMP")).pixels
    found = Decoder(SMALL, "exact")(encoded(picture, name))
    assert (found.width, found.height) == (64, 64)
    assert np.abs(found.pixels.astype(int) - expected).mean() < (30 if name == "GIF" else 8)
    if name in ("PNG", "TIFF", "PPM", "ICO", "DIB", "TGA"):
        np.testing.assert_array_equal(found.pixels, expected)


def test_bytes_that_begin_as_a_tga_might_are_no_picture():
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, 4, 4, 24, 0)
    with pytest.raises(DecodeError, match="not a picture"):
        Decoder(SMALL)(header + bytes(48))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        (b"\x1f\x8b\x08\0" + bytes(20), "gzip"),
        (b"PK\x03\x04" + bytes(20), "a ZIP archive"),
        (b"\xef\xbb\xbf <!DOCTYPE html><title>404</title>", "HTML"),
        (b"<?xml version='1.0'?>\n<svg xmlns='x'/>", "SVG"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b'{"error": "not found"}', "JSON"),
        (b"not found\n", "text"),
        (bytes(1000), "nothing but zeros"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "HEIC"),
        (b"\0\0\0\x18ftypisom" + bytes(20), "a video"),
        (b"\xff\x0a" + bytes(20), "JPEG XL"),
        (b"\xff\xd8\xff\xc1\0\x11\x0c\0\x10\0\x10\x03" + bytes(9), "a JPEG of 12 bits"),
        (b"\xff\xd8\xff\xc3\0\x11\x08\0\x10\0\x10\x03" + bytes(9), "a lossless"),
    ],
)
def test_a_message_says_what_the_bytes_are(content, kind):
    with pytest.raises(DecodeError) as raised:
        Decoder(SMALL)(content)
    assert raised.value.message.startswith(kind)


def test_metadata_of_a_png_never_costs_its_pixels():
    plain = encoded(PHOTO, "PNG")
    start, rest = plain[:33], plain[33:]
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * (2 << 20), zip=True)
    huge = io.BytesIO()
    PHOTO.save(huge, "PNG", pnginfo=info, icc_profile=bytes(3 << 20))

    def chunk(kind, data, wrong=0):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ wrong)

    odd = [huge.getvalue()]
    odd += [start + chunk(kind, b"broken", wrong=1) + rest for kind in (b"tEXt", b"iCCP", b"tRNS", b"acTL", b"eXIf")]
    odd += [start + chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(80 << 20), 9)) + rest]
    for mode in ("fast", "exact"):
        expected = Decoder(SMALL, mode)(plain).pixels
        for content in odd:
            np.testing.assert_allclose(Decoder(SMALL, mode)(content).pixels.astype(int), expected, atol=2)


def test_a_tile_larger_than_the_limit_is_refused_whatever_size_the_picture_claims():
    side = 46_000
    tags = [(256, 3, 16), (257, 3, 16), (258, 3, 1), (259, 3, 8), (262, 3, 1), (277, 3, 1)]
    tags += [(322, 4, side), (323, 4, side), (324, 4, 8), (325, 4, 4)]
    entries = b"".join(
        struct.pack("<HHI", tag, kind, 1) + (struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value))
        for tag, kind, value in tags
    )
    content = (
        b"II*\0" + struct.pack("<I", 16) + zlib.compress(b"")[:8] + struct.pack("<H", len(tags)) + entries + bytes(4)
    )
    with pytest.raises(DecodeError, match=r"too-large.*46000 x 46000"):
        Decoder(SMALL)(content)


def test_a_picture_within_an_icon_is_held_against_the_limit():
    png = encoded(Image.new("L", (3000, 3000)), "PNG")
    icon = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 8, len(png), 22) + png
    assert Decoder(SMALL)(icon).pixels.shape == (*SMALL.size, 3)
    with pytest.raises(DecodeError, match=r"too-large.*3000 x 3000"):
        Decoder(SMALL, max_pixels=1000 * 1000)(icon)


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded():
    content = io.BytesIO()
    PHOTO.save(content, "JPEG", progressive=True)
    assert Decoder(SMALL, max_scans=10)(content.getvalue()).width == PHOTO.width
    with pytest.raises(DecodeError, match=r"too-large.*10 scans, more than 9"):
        Decoder(SMALL, max_scans=9)(content.getvalue())
