"""Questions about pictures of one colour each, and a judge that knows what they show."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from PIL import Image

from ood_core.decoding.thumbnail import clean_picture
from ood_core.image_questions import image_questions
from ood_core.negfilter.questions import ANSWERS

COLOURS = ("red", "green", "blue", "white", "black", "yellow")


def picture(colour: str, size: tuple[int, int] = (60, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return clean_picture(file.getvalue())


def colour_of(content: bytes) -> str:
    """The name of a picture's colour, by its pixels."""
    pixel = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), int)[0, 0]
    shades = [np.asarray(Image.new("RGB", (1, 1), colour), int)[0, 0] for colour in COLOURS]
    return COLOURS[int(np.argmin([np.abs(shade - pixel).sum() for shade in shades]))]


def asked(colours: Sequence[str], labels: Sequence[str] = ("red", "blue")) -> pa.Table:
    """Whether the picture of each colour shows one of the labels."""
    return image_questions((picture(colour), labels) for colour in colours)


@dataclass
class ColourJudge:
    """Says whether a picture's colour is among the labels, and which it is; has no answer to the `failing` ones."""

    model: str = "colours"
    prompt_version: str = "1"
    failing: frozenset[str] = frozenset()
    silent: bool = False
    asked: list[tuple[str, bool]] = field(default_factory=list)
    """Each question: a colour, and whether it was asked for in words."""

    def answers(self, questions: Iterable[pa.Table]) -> Iterator[pa.Table]:
        for table in questions:
            rows = [self._answer(row) for row in table.to_pylist()]
            yield pa.Table.from_pylist([] if self.silent else rows[::-1], schema=ANSWERS)

    def _answer(self, row: dict) -> dict:
        colour = colour_of(row["image"])
        self.asked.append((colour, row["labels"] is None))
        if colour in self.failing:
            return {"question": row["question"], "error": "no idea"}
        if row["labels"] is None:
            return {"question": row["question"], "answer": f"all {colour}"}
        shows = colour in row["labels"]
        return {
            "question": row["question"],
            "answer": "yes" if shows else "no",
            "probability_yes": 0.75 - 0.5 * (not shows),
        }
