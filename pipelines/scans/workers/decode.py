"""Decoding: a record to the model's input, or to the reason why there is none."""

from dataclasses import dataclass

import numpy as np

from ood_core.decoding import DecodeError, Decoder
from pipelines.inputs.readers.record import Record


@dataclass(frozen=True)
class Decoded:
    """A picture at the model's size, uint8 [height, width, 3], and its own size before; or why there is none."""

    status: str
    error: str | None = None
    width: int | None = None
    height: int | None = None
    pixels: np.ndarray | None = None


def decode(record: Record, decoder: Decoder) -> Decoded:
    """A record's picture. A bad record or picture is a status, never an exception."""
    if record.status != "ok":
        return Decoded(record.status, record.error)
    try:
        found = decoder(record.content)
    except DecodeError as error:
        return Decoded(error.status, error.message)
    return Decoded("ok", None, found.width, found.height, found.pixels)
