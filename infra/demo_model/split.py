"""Groups of pictures that belong together, and which groups train, validate and test."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from infra.demo_model import emoji, openclipart
from infra.demo_model.openclipart import chance
from infra.demo_model.pictures import Picture
from infra.demo_model.wordnet import wordnet

TEST, TEST_ANIMALS, VALIDATION = 0.20, 0.38, 0.08
LARGE = 60  # a group of more pictures is a style of its own and trains
NOT_AN_ANIMAL = {
    "dragon", "unicorn", "monster", "fantasy", "web", "shell", "paw", "paws", "print", "nest", "egg", "bone", "feather",
    "wing", "microbe", "amibe", "grenade", "platter",
}  # fmt: skip


def is_animal(picture: Picture) -> bool:
    """Whether the picture shows an animal, by its subject and its name."""
    if picture.subject != "animals" or picture.synset is None or picture.synset == wordnet().first("animal"):
        return False
    words = {*picture.name.split(), *picture.folders, *picture.found.split()}
    return wordnet().first("animal") in wordnet().ancestors(picture.synset) and not words & NOT_AN_ANIMAL


def _same(picture: Picture) -> list[tuple[str, ...]]:
    """What pictures of one group share: creator and name, emoji or family of emoji, or the country of a flag."""
    if picture.source == "openclipart":
        names = {picture.name, openclipart.clean(Path(picture.path).stem, picture.creator)} - {""}
        keys = [(picture.creator, name) for name in names]
    else:
        keys = [("emoji", picture.key.split("/")[1]), *(("family", f) for f in emoji.FAMILIES if f in picture.folders)]
    return [*keys, ("flag", picture.found)] if picture.subject == "flags" and picture.found else keys


def groups_of(pictures: list[Picture], alike: list[tuple[int, int]]) -> list[int]:
    """Each picture's group: what `_same` says, or near-duplicates, transitively."""
    parent = list(range(len(pictures)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    by_name: dict[tuple[str, ...], int] = {}
    same_name = [(by_name.setdefault(key, i), i) for i, p in enumerate(pictures) for key in _same(p)]
    for a, b in [*alike, *same_name]:
        parent[root(a)] = root(b)
    return [root(i) for i in range(len(pictures))]


def _split_of(group: list[Picture]) -> str:
    """By the hash of the group's first key."""
    if len(group) > LARGE:
        return "train"
    test = TEST_ANIMALS if any(map(is_animal, group)) else TEST
    at = chance("split " + min(p.key for p in group))
    return "test" if at < test else "validation" if at < test + VALIDATION else "train"


def splits_of(pictures: list[Picture], groups: list[int], mirrored: Sequence[tuple[int, int]]) -> list[str]:
    """train, validation or test for each picture; a test group with a mirror image elsewhere trains.

    `mirrored` pairs do not make groups: arrows and flags come in both directions, and all would be one group.
    """
    members = defaultdict(list)
    for i, group in enumerate(groups):
        members[group].append(pictures[i])
    split = {group: _split_of(own) for group, own in members.items()}
    while seen := {groups[a] for a, b in mirrored if split[groups[a]] == "test" and split[groups[b]] != "test"}:
        split |= dict.fromkeys(seen, "train")
    return [split[group] for group in groups]
