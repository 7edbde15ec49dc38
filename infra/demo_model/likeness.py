"""Which pictures look alike, so that none like a test picture is trained on."""

import numpy as np
from PIL import Image

THUMBNAIL = 16
HASH_BITS_APART, PIXELS_APART, ALIKE = 6, 0.05, 0.92


def difference_hash(pixels: np.ndarray) -> np.ndarray:
    """[n, side, side, 3] uint8 on white -> [n, 256]: +1 where one of 16x16 cells is brighter than the next, else -1."""
    small = [Image.fromarray(p).convert("L").resize((17, 16), Image.Resampling.BOX) for p in pixels]
    grey = np.stack([np.asarray(s, dtype=np.int16) for s in small])
    return np.where(grey[:, :, 1:] > grey[:, :, :-1], 1, -1).reshape(len(pixels), 256).astype(np.float32)


def _thumbnails(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[n, side, side, 3] uint8 on white -> flat thumbnails in 0..1, and the same centred with unit norm."""
    size = (THUMBNAIL, THUMBNAIL)
    small = np.stack([np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BOX), np.float32) for p in pixels])
    flat = small.reshape(len(pixels), -1) / 255
    centred = flat - flat.mean(axis=1, keepdims=True)
    return flat, centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-6)


def near_duplicates(pixels: np.ndarray) -> list[tuple[int, int]]:
    """Pairs that look alike: their 16x16 thumbnails correlate, or hashes differ in few bits and pixels are similar."""
    small, unit = _thumbnails(pixels)
    hashes = difference_hash(pixels)
    close = (unit @ unit.T >= ALIKE) | (256 - hashes @ hashes.T <= 2 * HASH_BITS_APART)
    pairs = [(int(a), int(b)) for a, b in np.argwhere(np.triu(close, 1))]
    return [
        (a, b) for a, b in pairs if unit[a] @ unit[b] >= ALIKE or np.abs(small[a] - small[b]).mean() <= PIXELS_APART
    ]


def mirror_images(pixels: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of which one looks like the other mirrored; both orders, and pictures that are their own mirror image."""
    _, unit = _thumbnails(pixels)
    _, mirrored = _thumbnails(np.ascontiguousarray(pixels[:, :, ::-1]))
    return [(int(a), int(b)) for a, b in np.argwhere(unit @ mirrored.T >= ALIKE)]
