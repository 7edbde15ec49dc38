"""From a picture to a model's input size, as OpenCLIP's preprocess does it, with Pillow alone: no torch to decode."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

LONGEST_SHAPE = 1000


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
        picture = _rgb(picture)
        if self.resize_mode == "shortest":
            picture = _without_far_ends(picture)
        picture = picture.resize(self._resized(picture.width, picture.height), self._resampling())
        return np.asarray(self._cropped(picture))

    def _resampling(self) -> Image.Resampling:
        height, width = self.size
        always_bicubic = self.resize_mode == "shortest" and height != width  # OpenCLIP's default stands there
        bilinear = self.interpolation == "bilinear" and not always_bicubic
        return Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) to resize to."""
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

    def _cropped(self, picture: Image.Image) -> Image.Image:
        height, width = self.size
        missing_width, missing_height = max(width - picture.width, 0), max(height - picture.height, 0)
        if missing_width or missing_height:
            left, top = missing_width // 2, missing_height // 2
            border = (left, top, missing_width - left, missing_height - top)
            picture = ImageOps.expand(picture, border, fill=(self.fill_color,) * 3)
        top = round((picture.height - height) / 2.0)
        left = round((picture.width - width) / 2.0)
        return picture.crop((left, top, left + width, top + height))


def _without_far_ends(picture: Image.Image) -> Image.Image:
    """The middle of a picture of extreme shape: to resize all of a 1 × 65 000 one, only to crop it, takes 10 GB."""
    width = min(picture.width, LONGEST_SHAPE * picture.height)
    height = min(picture.height, LONGEST_SHAPE * picture.width)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def _rgb(picture: Image.Image) -> Image.Image:
    """Any picture in RGB. One with 16-bit greys keeps their high byte; Pillow would cut them off at 255."""
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture).clip(0, 65535) // 256).astype(np.uint8))
    if picture.mode == "P":  # Pillow warns when a palette with transparency goes straight to RGB
        picture = picture.convert("RGBA")
    return picture.convert("RGB")
