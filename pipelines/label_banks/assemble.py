"""Assembles a label bank from what the workers mined and what a judge said of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ood_core.labels import BankInfo, LabelBank
from ood_core.vocabulary import Part
from pipelines.judges.answers import WHOSE
from pipelines.label_banks.criteria import ClassImages
from pipelines.label_banks.negfilter import CandidateLabels
from pipelines.label_banks.request import LabelBankRequest
from pipelines.runtime.model import ModelFacts, ModelSpec

STAYING = (None, "kept", "unjudged")
"""Verdicts of the candidates that become negative labels."""


@dataclass(frozen=True)
class Mined:
    """What the workers made of the corpus, before any judging.

    `kept`: how many candidates of each part the criterion keeps. `candidates`: these as a judge is asked about them,
    perhaps cleaned; `embeddings` and `nearest` (their nearest ID labels, None without a judge) have a row for each.
    `survivors`: how many of each part passed InterNeg's test, empty for other criteria.
    """

    kept: Mapping[Part, int]
    candidates: CandidateLabels
    embeddings: np.ndarray
    id_embeddings: np.ndarray
    nearest: np.ndarray | None
    images: ClassImages | None
    survivors: Mapping[Part, int]
    facts: ModelFacts


def assemble(
    request: LabelBankRequest,
    mined: Mined,
    verdicts: Sequence[str | None],
    counts: Mapping[str, int],
    spec: ModelSpec,
) -> LabelBank:
    """The label bank of the ID labels and the candidates that stay.

    `verdicts`: of each candidate. `counts`: how often each verdict was met, for `bank.json`.
    """
    ids = len(request.ids)
    staying = [row for row, verdict in enumerate(verdicts) if verdict in STAYING]
    kept = mined.candidates.take(staying)
    return LabelBank(
        texts=[*request.ids, *kept.texts],
        parts=["noun"] * ids + list[str](kept.parts),
        id_count=ids,
        embeddings=np.concatenate([mined.id_embeddings, mined.embeddings[staying]]),
        selection_scores=np.concatenate([np.full(ids, np.nan), kept.scores]),
        verdicts=[*[None] * ids, *(verdicts[row] for row in staying)],
        image_embeddings=None if mined.images is None else mined.images.embeddings,
        info=_info(request, mined, counts, spec),
    )


def _info(request: LabelBankRequest, mined: Mined, judged: Mapping[str, int], spec: ModelSpec) -> BankInfo:
    """The contents of `bank.json`: where the labels come from, and counts at each step."""
    config, criterion, images = request.config, request.criterion, mined.images
    corpus: dict[str, Any] = {"sources": list(config.corpus)}
    if "wordnet" in config.corpus:
        corpus["wordnet_files"] = list(request.corpus.sources.wordnet_files)
    parameters = {name: value for name, value in asdict(criterion).items() if value is not None}
    whose = {name: getattr(request.judge, name) for name in WHOSE if request.judge}
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
        counts={"id_labels": len(request.ids), **_step_counts(request, mined), **judged},
    )


def _step_counts(request: LabelBankRequest, mined: Mined) -> dict[str, int]:
    """How many candidates of each part there were after each step of mining, as `bank.json` counts."""
    steps = {"candidates": request.corpus.counts, "surviving": mined.survivors, "kept": mined.kept}
    if Counter(mined.candidates.parts) != Counter(mined.kept):
        steps["cleaned"] = Counter(mined.candidates.parts)
    return {f"{step}_{part}": found[part] for step, found in steps.items() for part in sorted(found) if found[part]}
