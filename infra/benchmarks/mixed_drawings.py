"""Pictures that belong and pictures that do not, mixed: the bundled drawings, by subject, and label banks for them."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize

from infra.benchmarks.workloads import DEMO_LABELS, SEED
from infra.demo_model.measure import pictures
from infra.demo_model.pictures import phrases
from infra.demo_model.shards import ID_SUBJECT
from ood_core.consensus import log_odds
from ood_core.criteria import ConjugatedPool, Density, NegMining, kept_fraction
from ood_core.encoders import ClipEncoder
from ood_core.labels import BankInfo, LabelBank
from ood_core.labels.density import mean_log_distance
from ood_core.labels.ranking import rank
from ood_core.labels.selection import keep_lowest
from ood_core.memory.inversion import Inverter
from ood_core.methods import ImageMethod, InterNeg
from ood_core.scores import score_dataset
from ood_core.vocabulary import CSP, WORDNET_FILES, id_labels, superclass_phrase, wordnet_corpus
from pipelines.label_banks.corpus import PARTS
from pipelines.runtime.model import BUNDLED_DIRECTORY

DEMO, MODEL = DEMO_LABELS.parent, f"local-dir:{BUNDLED_DIRECTORY}"
HALVES = 4
Mix = tuple[Sequence[str], Sequence[str]]
"""Subjects that are ID, and foreign ones."""


class Candidates(NamedTuple):
    """What a criterion ranks, encoded once for all ID labels; its scores if these have no say."""

    criterion: NegMining | ConjugatedPool | Density
    texts: np.ndarray
    parts: np.ndarray
    embeddings: np.ndarray
    densities: np.ndarray


@dataclass(frozen=True)
class Drawings:
    """The bundled pictures: whose, what they are called, and their words by modality inversion."""

    encoder: ClipEncoder
    keys: list[str]
    rows: list[dict[str, str]]
    embeddings: Tensor
    words: Tensor

    @classmethod
    def read(cls) -> "Drawings":
        with (DEMO / "manifest.csv").open(encoding="utf-8") as file:
            rows = {row["key"]: row for row in csv.DictReader(file)}
        encoder, found = ClipEncoder.load(MODEL), dict(pictures(DEMO / "shards"))
        pixels = [encoder.preprocessing(Image.open(io.BytesIO(content))) for content in found.values()]
        embeddings, keys = encoder.encode_images(torch.from_numpy(np.stack(pixels))), list(found)
        words = Inverter(encoder, InterNeg().steps, InterNeg().learning_rate)(embeddings, keys)
        return cls(encoder, keys, [rows[key] for key in keys], embeddings, words)

    def of(self, subjects: Sequence[str]) -> np.ndarray:
        return np.array([place for place, row in enumerate(self.rows) if row["subject"] in subjects])

    def labels(self, subjects: Sequence[str], nouns: frozenset[str]) -> list[str]:
        """The subjects, a noun of each picture's name, and the demo's labels if animals are among them."""
        named = [[p for p in phrases(self.rows[place]["name"]) if p in nouns][:1] for place in self.of(subjects)]
        demo = id_labels(DEMO_LABELS.read_bytes()) if ID_SUBJECT in subjects else []
        return sorted({*demo, *subjects, *(noun for found in named for noun in found)})

    def scores(self, bank: LabelBank, method: str, parameters: ImageMethod, places: np.ndarray) -> np.ndarray:
        """The base method's log-odds. Those of what learns depend on which pictures are scored together."""
        asked, images, keys = {method: parameters}, self.embeddings[places], [self.keys[place] for place in places]
        encode = partial(self.encoder.encode_ensembles, CSP.noun)
        found = score_dataset(bank, asked, images, keys, encode=encode, invert=self.inverted)
        return log_odds(found.scores[method], parameters)

    def inverted(self, _: Tensor, keys: Sequence[str]) -> Tensor:
        return torch.stack([self.words[self.keys.index(key)] for key in keys])


def settings(drawings: Drawings) -> dict[str, list[tuple[list[str], list[Mix]]]]:
    """ID labels, and what is mixed under them: subjects that are ID with foreign ones."""
    subjects = sorted({row["subject"] for row in drawings.rows})
    others = [subject for subject in subjects if subject != ID_SUBJECT]
    animals: list[Mix] = [([ID_SUBJECT], foreign) for foreign in (*([other] for other in others), others)]
    shuffled = [np.random.default_rng([SEED, half]).permutation(subjects).tolist() for half in range(HALVES)]
    apart = [*([subject] for subject in subjects), *(order[: len(order) // 2] for order in shuffled)]
    mixes: list[Mix] = [([other for other in subjects if other not in foreign], foreign) for foreign in apart]
    nouns = frozenset(w.text for w in wordnet_corpus([f for f in WORDNET_FILES if f.startswith("noun")], synonyms=True))
    named = [(drawings.labels(mix[0], nouns), [mix]) for mix in mixes]
    return {"animals": [(id_labels(DEMO_LABELS.read_bytes()), animals)], "subjects": named}


def candidates(criterion: NegMining | ConjugatedPool | Density, encoder: ClipEncoder) -> Candidates:
    words, of_parts = wordnet_corpus(criterion.wordnet_files), []
    for part in PARTS:
        texts = [word.text for word in words if word.part == part]
        if part == "adjective" and isinstance(criterion, ConjugatedPool):
            texts = [superclass_phrase(text) for text in texts]
        found = encoder.encode_ensembles(getattr(criterion.prompts, part), texts, normalize=False)
        densities = mean_log_distance(found, found, criterion.neighbours) if isinstance(criterion, Density) else []
        of_parts.append((texts, [part] * len(texts), normalize(found, dim=1), densities))
    return Candidates(criterion, *map(np.concatenate, zip(*of_parts, strict=True)))


def bank_of(found: Candidates, ids: Sequence[str], encoder: ClipEncoder) -> LabelBank:
    """As `oodscan labels build` makes it without a judge, but that CSP's may rank an ID label itself."""
    criterion, labels = found.criterion, encoder.encode_ensembles(found.criterion.prompts.id, ids)
    if isinstance(criterion, Density):
        scores = found.densities
    else:
        scores = rank(criterion, torch.from_numpy(found.embeddings), labels).scores
    of = {part: np.flatnonzero(found.parts == part) for part in PARTS}
    rows = np.concatenate([of[part][keep_lowest(scores[of[part]], kept_fraction(criterion, part))] for part in PARTS])
    texts, parts = [*ids, *found.texts[rows].tolist()], ["noun"] * len(ids) + found.parts[rows].tolist()
    embeddings = np.concatenate([labels.numpy(), found.embeddings[rows]])
    scores, info = np.concatenate([np.full(len(ids), np.nan), scores[rows]]), BankInfo(temperature=encoder.temperature)
    return LabelBank(texts, parts, len(ids), embeddings, scores, [None] * len(texts), info)
