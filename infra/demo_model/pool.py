"""The training pictures in memory, and batches drawn from them."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from infra.demo_model.pictures import Picture

# How often a picture is asked for by its name, a keyword, its folder, or what it is a kind of.
NAME, KEYWORD, FOLDER = 0.40, 0.16, 0.32


@dataclass(frozen=True)
class Batch:
    """Numbers of pictures, the distinct texts drawn for them, which one each drew, and which are true of which."""

    pictures: Tensor
    texts: list[str]
    drawn: Tensor
    true: Tensor


def read_records(data: Path) -> list[dict]:
    """The rows that data.py wrote."""
    return [json.loads(line) for line in (data / "records.jsonl").read_text().splitlines()]


def picture_of(row: dict) -> Picture:
    """A row's picture, without what the split added."""
    return Picture(**{name: row[name] for name in Picture.__dataclass_fields__})


class PicturePool:
    """Pictures with the texts that are true of them; animals are drawn twice as often."""

    def __init__(self, pictures: list[Picture], animals: list[bool], pixels: Tensor) -> None:
        self.pictures, self.pixels = pictures, pixels
        truths = [p.texts() for p in pictures]
        self.texts = sorted(set().union(*truths))
        self.number = {t: i for i, t in enumerate(self.texts)}
        self.true = torch.zeros(len(pictures), len(self.texts), dtype=torch.bool)
        for row, texts in zip(self.true, truths, strict=True):
            row[[self.number[t] for t in texts]] = True
        self.hypernyms = [p.hypernyms() for p in pictures]
        self.order = [i for i, animal in enumerate(animals) for _ in range(2 if animal else 1)]
        self.left: list[int] = []

    @classmethod
    def of_split(cls, data: Path, split: str) -> "PicturePool":
        """The pictures of one split of the data directory."""
        rows = read_records(data)
        kept = [i for i, row in enumerate(rows) if row["split"] == split]
        pixels = torch.from_numpy(np.load(data / "pictures.npy")[kept])
        return cls([picture_of(rows[i]) for i in kept], [rows[i]["animal"] for i in kept], pixels)

    def _text(self, index: int, draw: random.Random) -> str:
        picture, at = self.pictures[index], draw.random()
        names = [t for t in (picture.name, picture.found) if t]
        choices = (
            (NAME, names),
            (KEYWORD, picture.keywords),
            (FOLDER, picture.folders),
            (1.0, self.hypernyms[index][:6]),
        )
        for share, texts in choices:
            if at < share and texts:
                return draw.choice(texts)
            at -= share
        return draw.choice(names or picture.folders)

    def draw(self, count: int, draw: random.Random) -> Batch:
        """Pictures without repeats until all were drawn, each with one of its texts."""
        while len(self.left) < count:
            self.left = [*draw.sample(self.order, len(self.order)), *self.left]
        indices, self.left = self.left[-count:], self.left[:-count]
        drawn = [self._text(i, draw) for i in indices]
        texts = list(dict.fromkeys(drawn))
        columns = torch.tensor([self.number[t] for t in texts])
        places = torch.tensor([texts.index(t) for t in drawn])
        pictures = torch.tensor(indices)
        return Batch(pictures, texts, places, self.true[pictures][:, columns])
