import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from open_clip import image_transform
from PIL import Image

from ood_core.preprocessing import Preprocessing, as_rgb

SIZES = [(64, 64), (640, 480), (480, 640), (333, 777), (65, 64), (63, 64), (1, 1), (3, 2), (101, 37)]
LINES = [(1, 500), (500, 1)]
TARGETS = [(64, 64), (33, 33), (48, 64), (64, 40)]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def by_open_clip(picture: Image.Image, preprocessing: Preprocessing) -> np.ndarray:
    """OpenCLIP's own transform with its normalisation made neutral, back in 0 to 255."""
    transform: Any = image_transform(
        preprocessing.size,
        is_train=False,
        resize_mode=preprocessing.resize_mode,
        interpolation=preprocessing.interpolation,
        fill_color=preprocessing.fill_color,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    return (transform(picture).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("size", "resize_mode"),
    [
        *itertools.product(SIZES, ["shortest", "longest", "squash"]),
        *itertools.product(LINES, ["shortest", "squash"]),  # fitting their long side, OpenCLIP fails: see the next test
    ],
)
@pytest.mark.parametrize("target", TARGETS)
def test_pixels_equal_those_of_open_clip(size, target, resize_mode, interpolation):
    preprocessing = Preprocessing(target, interpolation, resize_mode, fill_color=77)
    pixels = preprocessing(noise(*size))
    assert pixels.shape == (*target, 3)
    np.testing.assert_array_equal(pixels, by_open_clip(noise(*size), preprocessing))


def test_the_short_side_of_a_line_stays_one_pixel_wide_when_its_long_side_is_fitted():
    pixels = Preprocessing((64, 64), resize_mode="longest", fill_color=9)(Image.new("RGB", (1, 500), (200, 100, 50)))
    assert pixels[:, 31].tolist() == [[200, 100, 50]] * 64
    assert np.delete(pixels, 31, axis=1).tolist() == [[[9, 9, 9]] * 63] * 64


def test_a_picture_of_extreme_shape_is_not_resized_as_a_whole():
    line = Image.new("RGB", (65_000, 1), (10, 20, 30))
    pixels = Preprocessing((224, 224))(line)  # its whole would be 14 560 000 × 224 pixels: 13 GB
    assert (pixels == [10, 20, 30]).all()


def test_a_picture_of_extreme_shape_shows_its_middle():
    line = noise(1, 4000)
    middle = line.crop((0, 1500, 1, 2500))
    preprocessing = Preprocessing((32, 32))
    np.testing.assert_array_equal(preprocessing(line), preprocessing(middle))
    np.testing.assert_array_equal(preprocessing(line), by_open_clip(line, preprocessing))


def palette(picture: Image.Image) -> Image.Image:
    return picture.quantize(17)


def palette_with_transparent_colours(picture: Image.Image) -> Image.Image:
    quantized = picture.quantize(17)
    quantized.info["transparency"] = bytes([0, 128, 255])
    return quantized


def half_transparent(picture: Image.Image) -> Image.Image:
    picture = picture.convert("RGBA")
    picture.putalpha(Image.fromarray(np.tile(np.arange(90, dtype=np.uint8), (70, 1))))
    return picture


OTHER_MODES = {
    "palette": palette,
    "palette with transparent colours": palette_with_transparent_colours,
    "RGBA": half_transparent,
    "CMYK": lambda picture: picture.convert("CMYK"),
    "YCbCr": lambda picture: picture.convert("YCbCr"),
    "LAB": lambda picture: Image.merge("LAB", picture.split()),
    "HSV": lambda picture: picture.convert("HSV"),
    "grey": lambda picture: picture.convert("L"),
    "grey with alpha": lambda picture: picture.convert("LA"),
    "one bit": lambda picture: picture.convert("1"),
    "float": lambda picture: picture.convert("F"),
}


@pytest.mark.parametrize("mode", OTHER_MODES)
def test_a_picture_of_another_mode_is_converted_before_it_is_resized(mode):
    picture = OTHER_MODES[mode](noise(90, 70))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about the palette with transparency; ours must not raise it
        expected = picture.convert("RGB")
    preprocessing = Preprocessing((32, 32))
    np.testing.assert_array_equal(preprocessing(picture), by_open_clip(expected, preprocessing))


@pytest.mark.parametrize("kind", ["<u2", ">u2", "<i4"])
@pytest.mark.parametrize("spread", [lambda grey: grey * 257, lambda grey: grey * 256], ids=["0..65535", "0..65280"])
def test_a_picture_with_16_bit_greys_looks_as_it_does_with_8(kind, spread):
    grey = np.random.default_rng(0).integers(0, 256, (70, 90))
    wide = Image.fromarray(spread(grey).astype(kind))
    narrow = Image.fromarray(grey.astype(np.uint8))
    assert wide.mode in ("I;16", "I;16B", "I")
    np.testing.assert_array_equal(Preprocessing((32, 32))(wide), Preprocessing((32, 32))(narrow))


@pytest.mark.parametrize(("format", "mode"), [("PNG", "I;16"), ("TIFF", "I;16"), ("PPM", "I")])
def test_16_bit_files_keep_their_greys(tmp_path, format, mode):  # noqa: A002
    path = tmp_path / "picture"
    Image.fromarray(np.full((8, 8), 0x80FF, dtype=np.uint16)).save(path, format)
    with Image.open(path) as picture:
        assert picture.mode == mode
        assert Preprocessing((2, 2))(picture).tolist() == [[[128] * 3] * 2] * 2


def test_the_picture_itself_is_not_changed():
    picture = palette_with_transparent_colours(noise(90, 70))
    before = picture.copy()
    Preprocessing((32, 32))(picture)
    assert picture == before
    assert picture.info == before.info


def test_an_unknown_resize_mode_is_refused():
    with pytest.raises(ValueError, match="resize_mode must be shortest, longest or squash, not 'stretch'"):
        Preprocessing((32, 32), resize_mode="stretch")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["<u2", "<i4", "<f4"])
def test_greys_of_any_usual_number_of_bits_look_alike(bits, kind):
    ramp = np.arange(256)[None].repeat(8, 0)
    wide = Image.fromarray((ramp * 2 ** (bits - 8)).astype(kind))
    np.testing.assert_array_equal(np.asarray(as_rgb(wide))[..., 0], ramp)


def test_floating_point_greys_are_not_black():
    ramp = np.linspace(0, 1, 256, dtype="f4")[None].repeat(8, 0)
    shown = np.asarray(as_rgb(Image.fromarray(ramp)))[0, :, 0].astype(int)
    assert np.abs(shown - np.arange(256)).max() <= 1
    odd = np.array([[-3, np.nan, 0, 5, np.inf]], "f4")
    assert np.asarray(as_rgb(Image.fromarray(odd)))[0, :, 0].tolist() == [0, 96, 96, 255, 96]
    assert not np.asarray(as_rgb(Image.fromarray(np.zeros((2, 2), "f4")))).any()
