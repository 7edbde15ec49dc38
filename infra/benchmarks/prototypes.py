"""What mean images of the ID labels add to the largest cosine, on the bundled drawings: prototypes beside `max-cos`.

The largest cosine of an image to the text or the mean image of a label, both centred on their own modality: with μ_T
the mean of the ID labels' texts and μ_I that of their mean images p_i, max_i max(x'·e_i', x'·p_i') of the unit vectors
x' along x - μ_I, e_i' along e_i - μ_T and p_i' along p_i - μ_I (after SuPreMe, arXiv 2502.00662, without its training).

The mean images come from a random half of the animals, and the other half is scored against all foreign pictures; ten
such halvings, both ways round. There is hardly an animal drawn twice, so a label's mean image is that of its kind
(mammal, bird, …), from the pictures whose names hold an ID label; the others are scored only. Shown are AUROC and FPR95
by subject, averages over the halvings, and 95 % bootstrap intervals of the average AUROC and of how much it lies above
that of max-cos, all pictures resampled within their set. The last rows are variants: each label's own pictures for its
mean image, texts centred on the mean of the negatives too, and nothing centred.

python -m infra.benchmarks.prototypes
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from PIL import Image
from torch import Tensor

from infra.benchmarks.mixed_drawings import DEMO, MODEL, bank_of, candidates
from infra.benchmarks.workloads import DEMO_LABELS, SEED
from infra.demo_model.measure import RESAMPLES, pictures
from infra.demo_model.pictures import phrases
from infra.demo_model.shards import ID_SUBJECT
from ood_core.criteria import NegMining
from ood_core.encoders import ClipEncoder
from ood_core.labels import LabelBank
from ood_core.labels.class_images import known_class_means
from ood_core.metrics import metrics
from ood_core.numerics import Columns
from ood_core.scores import Labels, max_cos
from ood_core.vocabulary import id_labels
from ood_core.vocabulary.relations import NounRelations

HALVINGS = 10
KINDS = ("mammal", "bird", "fish", "insect", "reptile")
"""An animal of none of these counts as a kind of its own, the others."""
SHORTEST = 1e-6
"""A vector this near its centre has no direction from there: what float32 leaves of it is rounding."""
Scores = dict[str, np.ndarray]


@dataclass(frozen=True)
class Drawings:
    """The bundled pictures. `labels`: each one's ID label by number, -1 where its name holds none."""

    embeddings: Tensor
    subjects: np.ndarray
    labels: Int[np.ndarray, " pictures"]

    @classmethod
    def read(cls, encoder: ClipEncoder, ids: list[str]) -> "Drawings":
        with (DEMO / "manifest.csv").open(encoding="utf-8") as file:
            rows = {row["key"]: row for row in csv.DictReader(file)}
        found = dict(pictures(DEMO / "shards"))
        pixels = [encoder.preprocessing(Image.open(io.BytesIO(content))) for content in found.values()]
        subjects = np.array([rows[key]["subject"] for key in found])
        named = [next((p for p in phrases(rows[key]["name"]) if p in ids), None) for key in found]
        labels = [-1 if name is None else ids.index(name) for name in named]
        labels = np.where(subjects == ID_SUBJECT, labels, -1)
        return cls(encoder.encode_images(torch.from_numpy(np.stack(pixels))), subjects, labels)


def kinds_of(ids: list[str]) -> Int[np.ndarray, " id_labels"]:
    """The kind of each ID label, by the hypernyms of its first sense that is an animal; the last number: no kind."""
    relations = NounRelations.load()
    animal, *kinds = (relations.senses(name)[0] for name in ("animal", *KINDS))
    above = [[relations.hypernym_closure(sense) for sense in relations.senses(label)] for label in ids]
    closures = [next(closure for closure in found if animal in closure) for found in above]
    return np.array([next((n for n, kind in enumerate(kinds) if kind in one), len(kinds)) for one in closures])


def scored(bank: LabelBank, drawings: Drawings, half: np.ndarray, kinds: Int[np.ndarray, " id_labels"]) -> Scores:
    """Every picture's scores with the mean images of `half`; higher = more in-distribution."""
    known = half[drawings.labels[half] >= 0]
    images, labels = drawings.embeddings.numpy()[known], drawings.labels[known]
    of_kinds = known_class_means(images, kinds[labels], len(KINDS) + 1)[kinds]
    own = known_class_means(images, labels, bank.id_count)
    of_labels = Labels.of(replace(bank, image_embeddings=of_kinds))
    every = centre_of(torch.from_numpy(bank.embeddings))
    halves = partial(parts, of_labels, drawings.embeddings)
    text_centre, image_centre = centre_of(of_labels.id), centre_of(mean_images(of_labels))
    texts, means = halves(text_centre, image_centre)
    nothing = torch.zeros_like(every)
    by_own = Labels.of(replace(bank, image_embeddings=own))
    of_own = parts(by_own, drawings.embeddings, text_centre, centre_of(mean_images(by_own)))
    return {
        "max-cos": max_cos(of_labels.columns.products(drawings.embeddings)[:, : bank.id_count]).numpy(),
        "prototypes": np.maximum(texts, means),
        "its texts alone": texts,
        "its mean images alone": means,
        "prototypes of each label's own pictures": of_own.max(axis=0),
        "prototypes, texts centred on all labels": halves(every, image_centre).max(axis=0),
        "prototypes, nothing centred": halves(nothing, nothing).max(axis=0),
    }


def centre_of(vectors: Float[Tensor, "vectors dim"]) -> Float64[Tensor, " dim"]:
    """The mean of one modality's vectors; zeros, which move nothing, where they are all the same.

    So it is for a single label: centred on itself it would have no direction, and its plain cosine is left.
    """
    mean = vectors.double().mean(dim=0)
    apart = (vectors.double() - mean).norm(dim=1).max()
    return torch.where(apart < SHORTEST, torch.zeros_like(mean), mean)


def directions(vectors: Float[Tensor, "vectors dim"], centre: Float64[Tensor, " dim"]) -> Float[Tensor, "vectors dim"]:
    """Unit vectors from the centre to each vector; zeros for a vector that is the centre."""
    moved = vectors.double() - centre
    lengths = moved.norm(dim=1, keepdim=True)
    return torch.where(lengths < SHORTEST, torch.zeros_like(moved), moved / lengths).to(vectors)


def mean_images(labels: Labels) -> Float[Tensor, "known dim"]:
    """The mean images of the ID labels that have one. Raises ValueError where none has."""
    if labels.image_proxies is None or not labels.image_proxies.any():
        raise ValueError("no ID label has a mean image")
    return labels.image_proxies[labels.image_proxies.any(dim=1)]


def parts(
    labels: Labels, images: Tensor, text_centre: Tensor, image_centre: Tensor
) -> Float[np.ndarray, "modalities pictures"]:
    """The largest cosine to a text, and that to a mean image, from the given centres."""
    seen = directions(images, image_centre)
    prototypes = directions(labels.id, text_centre), directions(mean_images(labels), image_centre)
    return np.stack([max_cos(Columns(found).products(seen)).numpy() for found in prototypes])


def halvings(places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The places in two halves, and the halves exchanged."""
    for number in range(HALVINGS):
        order = np.random.default_rng([SEED, number]).permutation(places)
        first, second = order[: len(order) // 2], order[len(order) // 2 :]
        yield first, second
        yield second, first


def wins(inside: np.ndarray, outside: np.ndarray) -> Float[np.ndarray, "inside outside"]:
    """1 where an ID picture scores higher than a foreign one, 0.5 where as high."""
    return (inside[:, None] > outside) + 0.5 * (inside[:, None] == outside)


def resampled(drawings: Drawings, runs: list[tuple[np.ndarray, Scores]], name: str) -> Float[np.ndarray, " resamples"]:
    """The average AUROC over subjects and halvings of each resample of the pictures, the same ones for every name."""
    draw = np.random.default_rng(SEED)
    drawn = np.zeros((RESAMPLES, len(drawings.subjects)))
    for subject in np.unique(drawings.subjects):
        places = np.flatnonzero(drawings.subjects == subject)
        drawn[:, places] = draw.multinomial(len(places), np.full(len(places), 1 / len(places)), RESAMPLES)
    foreign = np.flatnonzero(drawings.subjects != ID_SUBJECT)
    groups = [np.flatnonzero(drawings.subjects[foreign] == s) for s in np.unique(drawings.subjects[foreign])]
    total = np.zeros(RESAMPLES)
    for half, scores in runs:
        inside = drawn[:, half]
        won = inside @ wins(scores[name][half], scores[name][foreign]) * drawn[:, foreign]
        total += np.mean([won[:, group].sum(axis=1) / len(group) for group in groups], axis=0) / inside.sum(axis=1)
    return total / len(runs)


def lines(drawings: Drawings, runs: list[tuple[np.ndarray, Scores]]) -> Iterator[str]:
    others = {s: np.flatnonzero(drawings.subjects == s) for s in np.unique(drawings.subjects) if s != ID_SUBJECT}
    subjects = " | ".join(f"{subject} ({len(places)})" for subject, places in others.items())
    yield f"| AUROC/FPR95 | {subjects} | average | 95 % | over max-cos |"
    yield "|---" * (len(others) + 4) + "|"
    base = resampled(drawings, runs, "max-cos")
    for name in runs[0][1]:
        found = {
            s: [metrics(scores[name][half], scores[name][at]) for half, scores in runs] for s, at in others.items()
        }
        rates = np.array([np.mean([(one.auroc, one.fpr95) for one in of], axis=0) for of in found.values()])
        cells = [f"{auroc:.3f}/{fpr95:.2f}" for auroc, fpr95 in (*rates, rates.mean(axis=0))]
        again = resampled(drawings, runs, name)
        yield f"| {name} | {' | '.join(cells)} | {_interval(again, '')} | {_interval(again - base, '+')} |"


def _interval(values: np.ndarray, sign: str) -> str:
    low, high = np.quantile(values, [0.025, 0.975])
    return f"{low:{sign}.3f} to {high:{sign}.3f}"


def main() -> None:
    encoder, ids = ClipEncoder.load(MODEL), id_labels(DEMO_LABELS.read_bytes())
    bank, drawings, kinds = (
        bank_of(candidates(NegMining(), encoder), ids, encoder),
        Drawings.read(encoder, ids),
        kinds_of(ids),
    )
    animals = np.flatnonzero(drawings.subjects == ID_SUBJECT)
    runs = [(half, scored(bank, drawings, other, kinds)) for other, half in halvings(animals)]
    labelled = drawings.labels[drawings.labels >= 0]
    print(f"{len(labelled)} of {len(animals)} animals have an ID label in their names, {len(set(labelled))} labels\n")
    print(*lines(drawings, runs), sep="\n")


if __name__ == "__main__":
    main()
