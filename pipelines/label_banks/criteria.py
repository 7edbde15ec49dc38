"""Runs a criterion over the pool of workers: which candidates a label bank keeps, in bounded memory.

Without a criterion all are kept, in the corpus's order. With one, what is kept is what a sort of all candidates by
(selection score, place in the corpus) would keep, whatever the number of workers and the order in which they answer.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.criteria import ConjugatedPool, Criterion, Density, Intermodal, NegMining, WholeCorpus, kept_fraction
from ood_core.labels.class_images import class_means
from ood_core.labels.selection import Lowest, shares
from ood_core.vocabulary import Part
from pipelines.config.labels import LabelsBuild
from pipelines.errors import CallerError
from pipelines.label_banks.corpus import PARTS, WORDS_AT_ONCE, Block, Corpus
from pipelines.label_banks.id_images import IdImages
from pipelines.label_banks.negfilter import CandidateLabels
from pipelines.label_banks.worker import ranked_table
from pipelines.label_banks.worker_pool import LabelWorkerPool
from pipelines.runtime.progress import Say, counting


@dataclass(frozen=True)
class Selection:
    """The kept candidates of each part, best first: tables of `index`, `selection_score` and `text`.

    Without a criterion they stand in the corpus's order, with NaN for a score. `survivors`: how many of each part
    passed InterNeg's test; empty for other criteria.
    """

    kept: Mapping[Part, pa.Table]
    survivors: Mapping[Part, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ClassImages:
    """The mean image embedding of each ID label, [ID labels, dim], unit or zero rows.

    `described`: where they are from, for `bank.json`.
    """

    embeddings: np.ndarray
    described: Mapping[str, Any]


def select(
    criterion: Criterion,
    corpus: Corpus,
    workers: LabelWorkerPool,
    images: ClassImages | None = None,
    say: Say = lambda _: None,
) -> Selection:
    """The candidates that the criterion keeps. `images`: for InterNeg's criterion only.

    Raises CallerError if nothing can be ranked or kept.
    """
    if isinstance(criterion, WholeCorpus):
        return _everything(corpus)
    progress = counting(say, sum(corpus.counts.values()), "candidates")
    if isinstance(criterion, Density):
        return _by_density(criterion, corpus, workers, progress)
    return _one_by_one(criterion, corpus, workers, images, progress)


def _everything(corpus: Corpus) -> Selection:
    """All candidates in the corpus's order. There is nothing to rank, so no worker encodes them here."""
    texts: dict[Part, list[str]] = {part: [] for part in PARTS}
    for block in corpus.blocks():
        texts[block.part] += block.texts
    kept = {}
    for part, found in texts.items():
        if found:
            rows = np.arange(len(found))
            kept[part] = ranked_table(rows, np.full(len(found), np.nan), found, rows)
    return Selection(kept)


def _one_by_one(
    criterion: NegMining | ConjugatedPool | Intermodal,
    corpus: Corpus,
    workers: LabelWorkerPool,
    images: ClassImages | None,
    progress: Callable[[int], None],
) -> Selection:
    """For criteria that look at one candidate at a time: a worker ranks a block and drops what cannot be kept."""
    if isinstance(criterion, Intermodal):
        most = {part: min(criterion.negatives, corpus.counts[part]) for part in PARTS}
    else:
        most = {part: int(corpus.counts[part] * kept_fraction(criterion, part)) for part in PARTS}
    lowest: dict[Part, Lowest] = {part: Lowest(most[part]) for part in PARTS}
    survivors = dict.fromkeys(PARTS, 0)
    means = None if images is None else workers.share(images.embeddings)
    calls = ((block, criterion, lowest[block.part].bound, means) for block in corpus.blocks())
    for found in workers.spread("rank", calls):
        progress(found.candidates)
        survivors[found.part] += found.survivors
        lowest[found.part].add(found.rows)
    if not isinstance(criterion, Intermodal):
        return Selection(_tables(lowest))
    if not any(survivors.values()):
        raise CallerError(
            f"--criterion interneg: none of {sum(corpus.counts.values())} candidates is less similar to every class's "
            "images than the class's own label; do --id-images show what their labels say?"
        )
    share = shares(survivors, criterion.negatives)
    return Selection({part: kept[: share[part]] for part, kept in _tables(lowest).items()}, survivors)


def _tables(lowest: Mapping[Part, Lowest]) -> dict[Part, pa.Table]:
    """The kept rows of every part that has any, best first."""
    return {part: rows for part in PARTS if (rows := lowest[part].rows()) is not None}


def _by_density(
    criterion: Density, corpus: Corpus, workers: LabelWorkerPool, progress: Callable[[int], None]
) -> Selection:
    """For the criterion that compares a part's candidates with each other.

    The features of all V candidates are held at once (V·D float32), a block of their V x V distances by each worker.
    """
    features: dict[Part, np.ndarray] = {}
    texts: dict[Part, list[str]] = {part: [""] * corpus.counts[part] for part in PARTS}
    for block, found in workers.spread("features", ((block,) for block in corpus.blocks())):
        if isinstance(found, str):
            raise CallerError(f"--criterion density does not go with this --model: {found}")
        if block.part not in features:
            features[block.part] = np.empty((corpus.counts[block.part], workers.facts.dim), np.float32)
        progress(len(block.texts))
        place = slice(block.first, block.first + len(block.texts))
        features[block.part][place], texts[block.part][place] = found, block.texts
    kept = {}
    for part in PARTS:
        if part in features:
            scores = _densities(features.pop(part), criterion.neighbours, workers)
            lowest = Lowest(int(len(scores) * kept_fraction(criterion, part)))
            rows = np.arange(len(scores))
            lowest.add(ranked_table(rows, scores, texts[part], rows))
            kept[part] = lowest.rows()
    return Selection(kept)


def _densities(features: np.ndarray, neighbours: int, workers: LabelWorkerPool) -> np.ndarray:
    """The mean log distance of every row to its nearest `neighbours`; lower = denser, and kept first."""
    count, shared = len(features), workers.share(features)
    del features
    starts = range(0, count, WORDS_AT_ONCE)
    calls = ((shared, start, min(start + WORDS_AT_ONCE, count), neighbours) for start in starts)
    scores = np.empty(count)
    for start, found in workers.spread("densities", calls):
        scores[start : start + len(found)] = found
    return scores


def kept_labels(selection: Selection) -> CandidateLabels:
    """The kept candidates as labels, nouns before adjectives, best first within each."""
    tables = selection.kept.values()
    texts = [text for rows in tables for text in rows["text"].to_pylist()]
    parts: list[Part] = [part for part, rows in selection.kept.items() for _ in range(len(rows))]
    scores = np.concatenate([np.empty(0), *(rows["selection_score"].to_numpy() for rows in tables)])
    return CandidateLabels(texts, texts, parts, scores)


def encoded(candidates: CandidateLabels, workers: LabelWorkerPool, say: Say = lambda _: None) -> np.ndarray:
    """Unit embeddings of the candidates, [candidates, dim].

    If they were ranked, they are encoded once more than ranking did: a text's embedding is the same each time.
    """
    progress = counting(say, len(candidates), "kept candidates encoded")
    embeddings = np.empty((len(candidates), workers.facts.dim), np.float32)
    for block, found in workers.spread("embeddings", ((block,) for block in _blocks(candidates))):
        embeddings[block.first : block.first + len(block.texts)] = found
        progress(len(block.texts))
    return embeddings


def nearest(candidates: CandidateLabels, workers: LabelWorkerPool, ids: int, count: int) -> np.ndarray:
    """The numbers of the ID labels nearest to each candidate, [candidates, count], nearest first."""
    found = np.empty((len(candidates), min(count, ids)), np.int32)
    for block, labels in workers.spread("nearest", ((block, count) for block in _blocks(candidates))):
        found[block.first : block.first + len(block.texts)] = labels
    return found


def _blocks(candidates: CandidateLabels) -> Iterator[Block]:
    """The candidates in blocks of one part each; `first` counts the candidates of all parts."""
    for part in PARTS:
        rows = [row for row, named in enumerate(candidates.parts) if named == part]
        for start in range(0, len(rows), WORDS_AT_ONCE):
            together = rows[start : start + WORDS_AT_ONCE]
            yield Block(part, together[0], [candidates.texts[row] for row in together])


def class_images(
    config: LabelsBuild, found: IdImages, ids: list[str], workers: LabelWorkerPool, options: Mapping[str, Any]
) -> ClassImages:
    """The mean embedding of every ID label's labelled images (p_i of METHODS.md §8).

    Raises CallerError if no image of a label can be read.
    """
    rows, labels, places = [], [], []
    calls = ((part, config.read, dict(options)) for part in found.slices)
    for part, embeddings, indices in workers.spread("images", calls):
        rows.append(embeddings)
        labels += [part.labels[index] for index in indices]
        places += [(part.shard.id, index) for index in indices]
    missing = [label for number, label in enumerate(ids) if number not in set(labels)]
    if missing:
        raise CallerError(
            f"--id-images: no image of the ID label {missing[0]!r} can be read ({len(missing)} such labels)"
        )
    order = sorted(range(len(places)), key=places.__getitem__)
    means = class_means(np.concatenate(rows)[order], np.array(labels)[order], len(ids))
    return ClassImages(means, {"id_images": "labelled", "images": len(labels), "unreadable": found.count - len(labels)})
