"""From a picture to a model's input size, as OpenCLIP's preprocess does it, with Pillow alone: no torch to decode."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

LONGEST_SHAPE = 1000
GREY_BITS = (8, 10, 12, 14, 16)
"""Of greys: cameras and scanners store 10, 12 or 14 bits in 16."""


@dataclass(frozen=True)
class Preprocessing:
    """The part of an OpenCLIP `preprocess_cfg` that shapes pixels, and the normalisation that the encoder applies.

    `size` is (height, width). `resize_mode`: 'shortest' edge to size, then centre crop; 'longest' edge, then padding
    with `fill_color`; or 'squash'.
    """

    size: tuple[int, int]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"
    fill_color: int = 0
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if self.resize_mode not in ("shortest", "longest", "squash"):
            raise ValueError(f"resize_mode must be shortest, longest or squash, not {self.resize_mode!r}")

    def __call__(self, picture: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
        """RGB pixels at the model's size: equal to OpenCLIP's own for RGB pictures, before it normalises them.

        Pictures of other modes are converted first. OpenCLIP converts last, and so resizes palette indices.
        """
        picture = as_rgb(picture)
        middle = self.middle(*picture.size)
        if middle != (0, 0, *picture.size):
            picture = picture.crop(middle)
        return self.framed(np.asarray(picture.resize(self.resized(*picture.size), self.resampling())))

    def resampling(self) -> Image.Resampling:
        """BICUBIC or BILINEAR."""
        height, width = self.size
        always_bicubic = self.resize_mode == "shortest" and height != width  # OpenCLIP's default stands there
        bilinear = self.interpolation == "bilinear" and not always_bicubic
        return Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC

    def middle(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of what is resized: all, or the middle of a picture of extreme shape.

        To resize all of a 1 × 65 000 one, only to crop it, takes 10 GB.
        """
        if self.resize_mode != "shortest":
            return 0, 0, width, height
        kept_width, kept_height = min(width, LONGEST_SHAPE * height), min(height, LONGEST_SHAPE * width)
        left, top = (width - kept_width) // 2, (height - kept_height) // 2
        return left, top, left + kept_width, top + kept_height

    def resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) to resize what `middle` leaves to."""
        target_height, target_width = self.size
        if self.resize_mode == "squash":
            return target_width, target_height
        if self.resize_mode == "shortest" and target_height == target_width:  # torchvision's Resize rounds down
            if width <= height:
                return target_width, int(target_width * height / width)
            return int(target_height * width / height), target_height
        ratios = height / target_height, width / target_width  # timm's ResizeKeepRatio rounds to nearest
        ratio = max(ratios) if self.resize_mode == "longest" else min(ratios)
        return max(1, round(width / ratio)), max(1, round(height / ratio))

    def framed(self, pixels: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "model_height model_width 3"]:
        """Resized pixels at the model's size: their centre, with `fill_color` around it where they do not reach."""
        height, width = self.size
        missing_height, missing_width = max(height - pixels.shape[0], 0), max(width - pixels.shape[1], 0)
        if missing_height or missing_width:
            top, left = missing_height // 2, missing_width // 2
            border = ((top, missing_height - top), (left, missing_width - left), (0, 0))
            pixels = np.pad(pixels, border, constant_values=self.fill_color)
        top = round((pixels.shape[0] - height) / 2.0)
        left = round((pixels.shape[1] - width) / 2.0)
        return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def as_rgb(picture: Image.Image) -> Image.Image:
    """Any picture in RGB. Greys of more than 8 bits, or in floating point, are brought to 8: see `_as_greys`."""
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        picture = Image.fromarray(_as_greys(np.asarray(picture)))
    if picture.mode == "P":  # Pillow warns when a palette with transparency goes straight to RGB
        picture = picture.convert("RGBA")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _as_greys(values: np.ndarray) -> UInt8[np.ndarray, "height width"]:
    """Greys of 8 bits; Pillow would cut whatever is above 255 off.

    Whole numbers are taken to be of the fewest usual bits that hold the largest one, fractions between 0 and 1 to be of
    that range. Whatever fits neither is spread over its own range. NaN is black.
    """
    numbers = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(numbers.min(initial=0.0)), float(numbers.max(initial=0.0))
    if low < 0 or high >= 2 ** GREY_BITS[-1]:
        white = (high - low) or 1.0
    elif high <= 1 and np.issubdtype(values.dtype, np.floating):
        low, white = 0.0, 1.0
    else:
        low, white = 0.0, float(next(2**bits for bits in GREY_BITS if high < 2**bits))
    return (256 * ((numbers - low) / white)).clip(0, 255).astype(np.uint8)
