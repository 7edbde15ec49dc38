"""JPEGs at a fraction of their size: libjpeg leaves fine detail out, which costs less than to decode it."""

import numpy as np
from jaxtyping import UInt8
from PIL.ImageFile import ImageFile

from ood_core.preprocessing import Preprocessing

SCALES = (8, 4)
"""By how much a JPEG may be scaled down. By 2 is hardly faster than torchvision at full size, and further from it."""

MARGIN = 3
"""A scaled JPEG stays this many times as wide and as high as what it is then resized to. Pixels then
differ from the full decoding's by 0.64 of 255 on average in the worst photo measured, at 2 times by 1.14: the benchmark
`decode_speed --scaling` has the figures."""


def scale_for(image: ImageFile, preprocessing: Preprocessing) -> int:
    """The largest of SCALES that keeps MARGIN; 1 if none does, or if ends must be cut off the picture first."""
    if preprocessing.middle(*image.size) != (0, 0, *image.size):
        return 1
    width, height = preprocessing.resized(*image.size)
    enough = (s for s in SCALES if image.width >= s * MARGIN * width and image.height >= s * MARGIN * height)
    return next(enough, 1)


def scaled(
    image: ImageFile, scale: int, preprocessing: Preprocessing
) -> UInt8[np.ndarray, "model_height model_width 3"]:
    """What `preprocessing` makes of an opened JPEG that is decoded at 1/2, 1/4 or 1/8 of its size."""
    size = preprocessing.resized(*image.size)
    box = (0.0, 0.0, image.width / scale, image.height / scale)  # the last column and row may stand for less than one
    image.draft("RGB", (image.width // scale, image.height // scale))
    return preprocessing.framed(np.asarray(image.resize(size, preprocessing.resampling(), box)))
