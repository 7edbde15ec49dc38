"""Emoji without skin tones: Noto Color Emoji in colour, Symbola in black; names and keywords from Unicode's data."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from infra.demo_model.openclipart import find_synset
from infra.demo_model.pictures import Picture

NAMES = Path("/usr/share/unicode/emoji/emoji-test.txt")
KEYWORDS = ("annotations", "annotationsDerived")
CLDR = Path("/usr/share/unicode/cldr/common")
NOTO = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
SYMBOLA = Path("/usr/share/fonts/truetype/ancient-scripts/Symbola_hint.ttf")

# Prefix of a subgroup, or a whole group -> subject and the words that stand for its folder.
SUBGROUPS = (
    ("cat-face", "animals", ["animal", "cat face"]), ("monkey-face", "animals", ["animal", "monkey face"]),
    ("animal-mammal", "animals", ["animal", "mammal"]), ("animal-bird", "animals", ["animal", "bird"]),
    ("animal-reptile", "animals", ["animal", "reptile"]), ("animal-marine", "animals", ["animal", "sea animal"]),
    ("animal-bug", "animals", ["animal", "insect", "bug"]), ("animal", "animals", ["animal"]),
    ("plant-flower", "plants", ["plant", "flower"]), ("plant", "plants", ["plant"]),
    ("food-fruit", "food", ["food", "fruit"]), ("food-vegetable", "food", ["food", "vegetable"]),
    ("food", "food", ["food"]), ("drink", "food", ["food", "beverage"]),
    ("place-building", "buildings", ["building"]), ("place-religious", "buildings", ["building", "religion"]),
    ("transport-sign", "signs", ["sign", "symbol"]), ("transport", "transportation", ["transportation", "vehicle"]),
    ("music", "music", ["music"]), ("office", "office", ["office"]), ("writing", "office", ["office"]),
    ("mail", "office", ["office", "mail"]), ("tool", "tools", ["tool"]), ("computer", "computer", ["computer"]),
    ("clothing", "people", ["clothing"]), ("heart", "signs", ["symbol", "heart"]), ("emotion", "signs", ["symbol"]),
    ("face", "people", ["smiley", "face"]), ("hand", "people", ["hand", "body part"]),
    ("body-parts", "people", ["body part"]),
    ("family", "people", ["person", "family"]), ("person", "people", ["person", "people"]),
    ("sport", "other", ["sport"]), ("game", "other", ["game"]), ("event", "other", ["party", "holiday"]),
)  # fmt: skip
FAMILIES = ("cat face", "monkey face", "smiley", "person", "hand", "time")  # folders whose emoji all look alike
GROUPS = {"Symbols": ("signs", ["sign", "symbol"]), "Flags": ("flags", ["flag", "sign"])}


def _annotations() -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for folder in KEYWORDS:
        for node in ET.parse(CLDR / folder / "en.xml").iter("annotation"):  # noqa: S314 (a file of the system)
            if node.get("type") is None and node.text:
                words[node.attrib["cp"]] = [w.strip().lower() for w in node.text.split("|")]
    return words


def _subject(group: str, subgroup: str) -> tuple[str, list[str]]:
    found = next(((s, words) for prefix, s, words in SUBGROUPS if subgroup.startswith(prefix)), None)
    return found or GROUPS.get(group, ("other", [re.sub(r"[-&]", " ", subgroup)]))


def _picture(characters: str, name: str, subject: str, folders: list[str], keywords: list[str]) -> Picture:
    plain = " ".join(re.sub(r"[^\w\s]", " ", name.lower()).split())
    words = [w for w in keywords if w != plain]
    synset, found = find_synset(subject, [plain], words, folders)
    code = "-".join(f"{ord(c):x}" for c in characters)
    return Picture(
        f"noto/{code}", "noto-emoji", characters, "Google Inc.", subject, plain, folders, words, synset, found
    )


def collect() -> list[Picture]:
    """Every fully qualified emoji that has no skin tone."""
    words, pictures, group, subgroup = _annotations(), [], "", ""
    for line in NAMES.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group:"):
            group = line.split(": ", 1)[1]
        elif line.startswith("# subgroup:"):
            subgroup = line.split(": ", 1)[1]
        elif (m := re.match(r"([0-9A-F ]+); fully-qualified +# \S+ E\S+ (.*)", line)) and group != "Component":
            characters = "".join(chr(int(code, 16)) for code in m.group(1).split())
            if not any(0x1F3FB <= ord(c) <= 0x1F3FF for c in characters):
                subject, folders = _subject(group, subgroup)
                pictures.append(
                    _picture(characters, m.group(2), subject, folders, words.get(characters.replace("\ufe0f", ""), []))
                )
    return pictures
