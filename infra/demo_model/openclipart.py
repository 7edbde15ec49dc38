"""The drawings of Debian's openclipart-png, with titles, keywords and creators from openclipart-svg."""

import hashlib
import html
import re
from collections import Counter
from pathlib import Path

from infra.demo_model.pictures import NOISE, Picture, clean, look_up, look_up_kind
from infra.demo_model.wordnet import wordnet

ROOT = Path("/usr/share/openclipart")
KEPT = {"shapes/stars/": 0.06, "special/gradients/": 0.20}
GENERIC_TITLE = 5  # a title that more drawings share says nothing about any of them

# Folder -> subject; the first prefix that fits.
SUBJECTS = (
    ("animals/", "animals"), ("buildings/", "buildings"), ("computer/", "computer"), ("food/", "food"),
    ("office/", "office"), ("people/", "people"), ("plants/", "plants"), ("recreation/music/", "music"),
    ("signs_and_symbols/flags/", "flags"),
    ("signs_and_symbols/", "signs"), ("tools/", "tools"), ("transportation/", "transportation"),
)  # fmt: skip
ROOTS = {
    "animals": ("animal",), "food": ("food", "beverage", "produce"), "buildings": ("structure", "furniture"),
    "people": ("person", "clothing", "body part"), "transportation": ("vehicle", "way", "signboard"),
    "music": ("musical instrument", "musician", "musical notation"), "tools": ("tool", "weapon", "implement", "device"),
    "computer": ("electronic device", "computer"), "office": ("writing implement", "furniture", "device"),
}  # fmt: skip
KINDS = ("animals", "food", "plants")  # subjects whose pictures show one of a kind: keywords and folders name it too
FOLDERS = {
    "signs_and_symbols": ["sign", "symbol"], "map_symbols": ["map symbol"], "aiga-symbols": ["sign", "symbol"],
    "recreation": ["recreation"], "transportation": ["transportation"], "people": ["person", "people"],
    "meats_and_eggs": ["meat"], "breads_and_carbs": ["bread"], "big_cats": ["big cat"], "housecats": ["cat"],
    "roadsigns": ["road sign"], "boating": ["boat"], "bodypart": ["body part"], "smilies": ["smiley", "face"],
    "stickmen": ["stick figure", "person"], "led": ["letter"], "icons": ["icon", "computer icon"], "games": ["game"],
    "sports": ["sport"], "homes": ["house", "building"], "plants": ["plant"],
    "computer": ["computer"], "office": ["office"],
    "music": ["music"], "bugs": ["insect", "bug"], "clothing": ["clothing"],
}  # fmt: skip
DROPPED_FOLDERS = {
    "unsorted",
    "special",
    "duplicates",
    "examples",
    "action",
    "mimetypes",
    "etiquette-theme",
    "flat-theme",
}


def chance(text: str) -> float:
    """A number in [0, 1) that depends on the text only."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def _metadata(svg: Path) -> tuple[str, list[str], str]:
    text = svg.read_text(encoding="utf-8", errors="replace")
    block = re.search(r"<metadata.*?</metadata>", text, re.DOTALL)
    found = block.group(0) if block else ""
    title = re.search(r"<dc:title>([^<]*)", found)
    creator = re.search(r"<dc:creator>.*?<dc:title>([^<]*)", found, re.DOTALL)
    keywords = [html.unescape(k).strip() for k in re.findall(r"<rdf:li>([^<]*)", found)]
    return (
        (html.unescape(title.group(1)) if title else ""),
        keywords,
        (html.unescape(creator.group(1)) if creator else ""),
    )


def _folders(path: str) -> list[str]:
    names: list[str] = []
    for part in path.split("/")[:-1]:
        if part not in DROPPED_FOLDERS:
            plain = clean(part)
            names += FOLDERS.get(part, [wordnet().base_form(plain) or plain])
    return [n for n in dict.fromkeys(names) if n]


def roots_of(subject: str) -> frozenset[int]:
    """The WordNet synsets under which a subject's pictures are looked for first."""
    senses = [s for word in ROOTS.get(subject, ()) for s in wordnet().senses[word][:2]]
    return frozenset(senses) | ({wordnet().senses["plant"][1]} if subject == "plants" else set())


def find_synset(subject: str, names: list[str], words: list[str], folders: list[str]) -> tuple[int | None, str]:
    """The synset a picture shows, and the phrase that named it: names before keywords before folders."""
    roots, none = roots_of(subject), frozenset()
    if subject in KINDS:
        for word in reversed(folders):  # first under the folder's own kind, e.g. bird
            own = wordnet().find(word, roots)
            synset, found = look_up_kind([*names, *words], frozenset({own})) if own else (None, "")
            if synset is not None and synset != own:
                return synset, found
        synset, found = look_up_kind([*names, *words, *reversed(folders)], roots)
        return (synset, found) if synset is not None or subject == "animals" else look_up(names, none)
    tries = ((names, roots), (names, none), (words, roots)) if roots else ((names, none),)
    return next((hit for texts, under in tries if (hit := look_up(texts, under))[0] is not None), (None, ""))


def _picture(path: str, title: str, keywords: list[str], creator: str) -> Picture:
    subject = next((s for prefix, s in SUBJECTS if path.startswith(prefix)), "other")
    stem, folders = clean(Path(path).stem, creator), _folders(path)
    name = clean(title, creator) or stem
    words = [w for w in dict.fromkeys(clean(k, creator) for k in keywords) if w and w not in NOISE]
    synset, found = find_synset(subject, [name, stem], words, folders)
    place = str(ROOT / "png" / path)
    return Picture(
        f"openclipart/{path}", "openclipart", place, creator, subject, name or found, folders, words, synset, found
    )


def collect() -> list[Picture]:
    """Every drawing that is kept."""
    paths = sorted(str(p.relative_to(ROOT / "png")) for p in (ROOT / "png").rglob("*.png"))
    kept = [p for p in paths if chance(p) < next((f for prefix, f in KEPT.items() if p.startswith(prefix)), 1.0)]
    meta = {p: _metadata((ROOT / "svg" / p).with_suffix(".svg")) for p in kept}
    titles = Counter(title for title, _, _ in meta.values())
    return [
        _picture(p, title if titles[title] <= GENERIC_TITLE else "", words, by)
        for p, (title, words, by) in meta.items()
    ]
