"""Write the held-out pictures as demo shards with a manifest, and the ID labels.

python -m infra.demo_model.shards --data DIR --output pipelines/demo
"""

import argparse
import csv
import io
import json
import re
import tarfile
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from infra.demo_model.openclipart import chance
from infra.demo_model.pictures import Picture, phrases
from infra.demo_model.pool import picture_of, read_records
from infra.demo_model.render import on_white, render, square
from infra.demo_model.wordnet import wordnet

ID_SUBJECT = "animals"
OOD_SUBJECTS = (
    "buildings", "computer", "flags", "food", "music", "office", "people", "plants", "signs", "tools", "transportation",
)  # fmt: skip
PARQUET = ("flags", "food", "music", "tools")  # subjects written as Parquet, the others as tars
PIXELS = 128
GENERAL = 10  # an animal name that so many others are kinds of is no ID label
PER_SHARD, PER_SUBJECT = 80, 160
LICENCES = {"openclipart": "public domain", "noto-emoji": "OFL-1.1"}


@dataclass(frozen=True)
class Shown:
    """One held-out picture of the demo."""

    key: str
    subject: str
    picture: Picture

    def png(self) -> bytes:
        """The picture on white, a square of 128 pixels."""
        image = render(self.picture)
        if image is None:
            raise ValueError(f"{self.picture.key} cannot be drawn")
        file = io.BytesIO()
        Image.fromarray(on_white(np.asarray(square(image, PIXELS)))).save(file, "png", optimize=True)
        return file.getvalue()


def names_an_animal(picture: Picture) -> bool:
    """Whether any name or keyword is, in its first sense, an animal: such a picture is no clear OOD picture."""
    words = {p for text in (picture.name, picture.found, *picture.keywords) for p in phrases(text)}
    senses = [wordnet().find(word) for word in words]
    return any(s is not None and wordnet().first("animal") in wordnet().ancestors(s) for s in senses)


def _key(subject: str, picture: Picture) -> str:
    stem = Path(picture.path).stem if picture.source == "openclipart" else f"emoji-{picture.key.split('/')[1]}"
    return f"{subject}-" + re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")


def held_out(rows: list[dict]) -> list[Shown]:
    """One picture of each test group, a drawing where there is one; groups with an animal are ID."""
    groups = defaultdict(list)
    for row in rows:
        if row["split"] == "test" and row["source"] in LICENCES:
            groups[row["group"]].append(row)
    shown: dict[str, Shown] = {}
    for members in groups.values():
        animals = [row for row in members if row["animal"]]
        row = min(animals or members, key=lambda r: (r["source"] != "openclipart", r["key"]))
        picture = picture_of(row)
        subject = ID_SUBJECT if animals else picture.subject
        if animals or (subject in OOD_SUBJECTS and not names_an_animal(picture)):
            key = _key(subject, picture)
            while key in shown:
                key += "-b"
            shown[key] = Shown(key, subject, picture)
    return sorted(shown.values(), key=lambda s: s.key)


def id_labels(rows: list[dict]) -> list[str]:
    """The specific animal names of the whole data set, training and held out, sorted; not e.g. mammal."""
    synset_of = {row["found"]: row["synset"] for row in rows if row["animal"]}
    kinds = Counter(above for synset in set(synset_of.values()) for above in wordnet().ancestors(synset)[1:])
    return sorted(name for name, synset in synset_of.items() if kinds[synset] < GENERAL)


def _member(name: str, content: bytes) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    return info, io.BytesIO(content)


def write_tar(path: Path, pictures: list[Shown]) -> None:
    """A plain ustar file with a picture and its facts per key, the same bytes every time."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for shown in pictures:
            facts = {"key": shown.key, "subject": shown.subject, "name": shown.picture.name}
            tar.addfile(*_member(f"{shown.key}.png", shown.png()))
            tar.addfile(*_member(f"{shown.key}.json", json.dumps(facts).encode()))


def write_parquet(path: Path, pictures: list[Shown]) -> None:
    """A Parquet file with the columns key and image."""
    schema = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("image", pa.binary(), nullable=False)])
    columns = {"key": [s.key for s in pictures], "image": [s.png() for s in pictures]}
    pq.write_table(pa.table(columns, schema=schema), path, compression="none")


def write_shards(pictures: list[Shown], folder: Path) -> list[tuple[Shown, str]]:
    """Every subject's shards; each picture with the name of its shard."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.tar"), *folder.glob("*.parquet")):
        old.unlink()
    placed = []
    for subject in (ID_SUBJECT, *OOD_SUBJECTS):
        own = [s for s in pictures if s.subject == subject]
        own = sorted(sorted(own, key=lambda s: chance(s.key))[:PER_SUBJECT], key=lambda s: s.key)
        kind, write = ("parquet", write_parquet) if subject in PARQUET else ("tar", write_tar)
        for number, first in enumerate(range(0, len(own), PER_SHARD)):
            name = f"{subject}-{number}.{kind}"
            write(folder / name, own[first : first + PER_SHARD])
            placed += [(s, name) for s in own[first : first + PER_SHARD]]
    return placed


def write_manifest(placed: list[tuple[Shown, str]], path: Path) -> None:
    """One row per demo picture: where it is, what it shows, and whose it is."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", "shard", "subject", "role", "name", "source", "creator", "licence"])
        for shown, shard in placed:
            p, role = shown.picture, "id" if shown.subject == ID_SUBJECT else "ood"
            place = p.key.split("/", 1)[1]
            writer.writerow(
                [shown.key, shard, shown.subject, role, p.name, f"{p.source}: {place}", p.creator, LICENCES[p.source]]
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rows = read_records(options.data)
    placed = write_shards(held_out(rows), options.output / "shards")
    write_manifest(placed, options.output / "manifest.csv")
    (options.output / "id_labels.txt").write_text("\n".join(id_labels(rows)) + "\n", encoding="utf-8")
    print(f"{len(placed)} pictures in {len({shard for _, shard in placed})} shards, {len(id_labels(rows))} ID labels")


if __name__ == "__main__":
    main()
