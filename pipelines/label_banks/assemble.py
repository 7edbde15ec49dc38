"""From what the workers mined and a judge said to a label bank."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ood_core.labels import BankInfo, LabelBank
from ood_core.vocabulary import Part
from pipelines.label_banks.answers import WHOSE
from pipelines.label_banks.criteria import ClassImages
from pipelines.label_banks.negfilter import Candidates
from pipelines.runtime.model import ModelFacts, ModelSpec

if TYPE_CHECKING:
    from pipelines.label_banks.request import Build

STAYING = (None, "kept", "unjudged")
"""Verdicts of the candidates that become negative labels."""


class Mined(NamedTuple):
    """What the workers made: how many of each part the criterion keeps, and these as they are asked about."""

    kept: Mapping[Part, int]
    candidates: Candidates
    embeddings: np.ndarray
    id_embeddings: np.ndarray
    nearest: np.ndarray | None
    images: ClassImages | None
    survivors: Mapping[Part, int]
    facts: ModelFacts


def bank_of(
    asked: "Build", mined: Mined, verdicts: Sequence[str | None], judged: Mapping[str, int], spec: ModelSpec
) -> LabelBank:
    """The label bank of what stays. `judged`: how often each verdict was met."""
    ids = len(asked.ids)
    staying = [row for row, verdict in enumerate(verdicts) if verdict in STAYING]
    kept = mined.candidates.take(staying)
    return LabelBank(
        texts=[*asked.ids, *kept.texts],
        parts=["noun"] * ids + list[str](kept.parts),
        id_count=ids,
        embeddings=np.concatenate([mined.id_embeddings, mined.embeddings[staying]]),
        selection_scores=np.concatenate([np.full(ids, np.nan), kept.scores]),
        verdicts=[*[None] * ids, *(verdicts[row] for row in staying)],
        image_embeddings=None if mined.images is None else mined.images.embeddings,
        info=_info(asked, mined, judged, spec),
    )


def _info(asked: "Build", mined: Mined, judged: Mapping[str, int], spec: ModelSpec) -> BankInfo:
    config, criterion, images = asked.config, asked.criterion, mined.images
    corpus: dict[str, Any] = {"sources": list(config.corpus)}
    if "wordnet" in config.corpus:
        corpus["wordnet_files"] = list(asked.corpus.sources.wordnet_files)
    parameters = {name: value for name, value in asdict(criterion).items() if value is not None}
    whose = {name: getattr(asked.judge, name) for name in WHOSE if asked.judge}
    steps = {"candidates": asked.corpus.counts, "surviving": mined.survivors, "kept": mined.kept}
    if Counter(mined.candidates.parts) != Counter(mined.kept):
        steps["cleaned"] = Counter(mined.candidates.parts)
    counts = {f"{step}_{part}": found[part] for step, found in steps.items() for part in sorted(found) if found[part]}
    return BankInfo(
        model=spec.name,
        pretrained=spec.pretrained,
        weights=mined.facts.weights,
        prompts={name: list(getattr(criterion.prompts, name)) for name in ("id", "noun", "adjective")},
        temperature=config.temperature or mined.facts.temperature,
        permutation_seed=config.permutation_seed,
        corpus=corpus,
        criterion={"name": config.criterion, **parameters, **(images.described if images else {})},
        judge={"name": config.judge.name, **config.judge.model_dump(exclude_none=True), **whose},
        counts={"id_labels": len(asked.ids), **counts, **judged},
    )
