"""Collect drawings and emoji, group near-duplicates, split by group, and store pictures and records for training.

python -m infra.demo_model.data --output DIR
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from infra.demo_model import emoji, openclipart
from infra.demo_model.likeness import mirror_images, near_duplicates
from infra.demo_model.pictures import Picture
from infra.demo_model.render import covered, on_white, render, square
from infra.demo_model.split import groups_of, is_animal, splits_of

PIXELS = 80  # side of the stored training pictures


def glyphs_in_black(pictures: list[Picture]) -> list[Picture]:
    """The same emoji as Symbola's black glyphs: more to train on, never tested on."""
    drawn = {ord(c) for c in covered(emoji.SYMBOLA)}
    single = [p for p in pictures if len(p.path.rstrip("\ufe0f")) == 1 and ord(p.path[0]) in drawn]
    changed = {"source": "symbola", "creator": "George Douros"}
    return [
        Picture(**{**asdict(p), **changed, "key": p.key.replace("noto/", "symbola/"), "path": p.path[0]})
        for p in single
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    found = emoji.collect()
    candidates = [*openclipart.collect(), *found, *glyphs_in_black(found)]
    rendered = [(p, np.asarray(square(r, PIXELS))) for p in candidates if (r := render(p))]
    pictures, pixels = [p for p, _ in rendered], np.stack([r for _, r in rendered])
    white = on_white(pixels)
    groups = groups_of(pictures, near_duplicates(white))
    splits = splits_of(pictures, groups, mirror_images(white))
    with (output / "records.jsonl").open("w") as file:
        for p, group, split in zip(pictures, groups, splits, strict=True):
            file.write(json.dumps(asdict(p) | {"group": group, "split": split, "animal": is_animal(p)}) + "\n")
    np.save(output / "pictures.npy", pixels)
    print(f"{len(pictures)} pictures in {len(set(groups))} groups")


if __name__ == "__main__":
    main()
