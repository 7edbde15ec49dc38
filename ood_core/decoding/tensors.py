"""Decoding and resizing by torchvision and torch, on uint8 tensors. Both release the interpreter's lock."""

from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg, decode_png

from ood_core.preprocessing import Preprocessing


def decoded(content: bytes, png: bool) -> UInt8[Tensor, "3 height width"] | None:
    """RGB pixels of a plain PNG or JPEG, equal to Pillow's; None if it is damaged or memory does not suffice."""
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)  # of a copy: torch warns of memory it may not write
    try:
        return decode_png(data, ImageReadMode.RGB) if png else cast(Tensor, decode_jpeg(data, ImageReadMode.RGB))
    except RuntimeError:  # torchvision's only one
        return None


def resized(
    pixels: UInt8[Tensor, "3 height width"], preprocessing: Preprocessing
) -> UInt8[np.ndarray, "model_height model_width 3"]:
    """What `preprocessing` makes of pixels, within 2 of 255; its sums are of integers, the same on any CPU."""
    left, top, right, bottom = preprocessing.middle(pixels.shape[2], pixels.shape[1])
    width, height = preprocessing.resized(right - left, bottom - top)
    kind = preprocessing.resampling().name.lower()
    middle = pixels[None, :, top:bottom, left:right]
    small = F.interpolate(middle, size=(height, width), mode=kind, antialias=True)
    return preprocessing.framed(small[0].permute(1, 2, 0).numpy())
