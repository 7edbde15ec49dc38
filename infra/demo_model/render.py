"""From a drawing's file or an emoji's glyph to a transparent square, and onto white."""

import warnings
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from infra.demo_model import emoji
from infra.demo_model.pictures import Picture


@cache
def fonts() -> dict[str, ImageFont.FreeTypeFont]:
    """The font of each emoji source, in the size that its glyphs are drawn in."""
    return {"noto-emoji": ImageFont.truetype(emoji.NOTO, 109), "symbola": ImageFont.truetype(emoji.SYMBOLA, 96)}


def _glyph(font: ImageFont.FreeTypeFont, characters: str) -> Image.Image | None:
    left, top, right, bottom = map(int, font.getbbox(characters))
    if right - left < 8 or bottom - top < 8:
        return None
    image = Image.new("RGBA", (right - left, bottom - top))
    ImageDraw.Draw(image).text((-left, -top), characters, font=font, embedded_color=True, fill="black")
    return image


def render(picture: Picture) -> Image.Image | None:
    """The picture in its own size cropped to what is drawn; None for no such glyph or too many pixels."""
    if picture.source == "openclipart":
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            try:
                image = Image.open(picture.path).convert("RGBA")
            except (Image.DecompressionBombWarning, Image.DecompressionBombError):
                return None
    else:
        image = _glyph(fonts()[picture.source], picture.path)
    box = image.getchannel("A").getbbox() if image else None
    return image.crop(box) if image and box else None


def square(image: Image.Image, side: int) -> Image.Image:
    """The whole picture in the middle of a transparent square."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    canvas = Image.new("RGBa", (side, side))  # premultiplied: resampling must not bleed the colour of clear pixels
    canvas.paste(
        image.convert("RGBa").resize(size, Image.Resampling.LANCZOS), ((side - size[0]) // 2, (side - size[1]) // 2)
    )
    return canvas


def on_white(premultiplied: np.ndarray) -> np.ndarray:
    """[..., 4] premultiplied uint8 -> [..., 3] uint8 on white."""
    return np.minimum(premultiplied[..., :3], premultiplied[..., 3:]) + (255 - premultiplied[..., 3:])


def _mask(face: ImageFont.FreeTypeFont, character: str) -> bytes:
    image = Image.new("L", (48, 48))
    ImageDraw.Draw(image).text((4, 4), character, font=face, fill=255)
    return image.tobytes()


def covered(font: Path) -> str:
    """The characters of the emoji list that a font draws with something else than its box for missing ones."""
    face = ImageFont.truetype(font, 32)
    missing = _mask(face, "\U0010ffff")
    names = [p.path[0] for p in emoji.collect()]
    return "".join(c for c in dict.fromkeys(names) if _mask(face, c) != missing)
