"""Label banks: mine negatives from a corpus, encode through a pool of actors, keep what the criterion keeps."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.labels import BankInfo, LabelBank
from ood_core.labels.selection import keep_lowest
from ood_core.vocabulary import PROMPTS, Word, corpus_words, id_labels, wordnet_corpus
from pipelines.config import EncodePool, LabelsBuild
from pipelines.errors import CallerError
from pipelines.label_files import read_words
from pipelines.stages.encode import FACTS, ModelFacts, ModelSpec
from pipelines.stages.rank import RankTexts
from pipelines.storage import Directory

WORDS_AT_ONCE = 4096
Say = Callable[[str], None]


@dataclass(frozen=True)
class Build:
    """A label bank as asked for, every mistake that needs no worker to find already found."""

    config: LabelsBuild
    ids: list[str]
    candidates: list[Word]
    output: Directory

    @classmethod
    def prepare(cls, config: LabelsBuild, options: Mapping[str, Any]) -> "Build":
        """Raises CallerError for whatever the caller has to mend."""
        try:
            ids = id_labels(read_words("--id-labels", config.id_labels, dict(options)))
        except ValueError as error:
            raise CallerError(f"--id-labels {config.id_labels!r}: {error}") from error
        candidates = _corpus(config, options)
        output = Directory(config.output, options)
        output.check_writable("--output")
        return cls(config, ids, candidates, output)


def build(asked: Build, address: str | None = None, say: Say = lambda _: None) -> LabelBank:
    """Makes the bank, writes it to the output directory and returns it."""
    from pipelines.cluster import cluster, fitted_alone, model_spec

    config = asked.config
    with cluster(address) as found:
        spec = model_spec(config.model, config.encode, found)
        pool = fitted_alone(config.encode, spec.device, found)
        say(f"{len(asked.ids)} ID labels, {len(asked.candidates)} candidates from {', '.join(config.corpus)}")
        bank = _bank(asked, _ranked(asked, spec, pool), spec)
    for name, content in bank.to_files().items():
        asked.output.put(name, content)
    say(f"{bank.negative_count} negative labels kept: {config.output}")
    return bank


def _corpus(config: LabelsBuild, options: Mapping[str, Any]) -> list[Word]:
    words: dict[str, Word] = {}
    for source in config.corpus:
        try:
            for word in _source(source, config, options):
                words.setdefault(word.text, word)
        except ValueError as error:
            raise CallerError(f"--corpus {source!r}: {error}") from error
    if not words:
        raise CallerError(f"--corpus {', '.join(config.corpus)} holds no words")
    return list(words.values())


def _source(source: str, config: LabelsBuild, options: Mapping[str, Any]) -> list[Word]:
    if source == "wordnet":
        return wordnet_corpus(config.wordnet_files)
    part, colon, file = source.partition(":")
    if colon and part in ("noun", "adjective"):
        return corpus_words(read_words("--corpus", file, dict(options)), part)  # pyright: ignore[reportArgumentType]
    return corpus_words(read_words("--corpus", source, dict(options)))


@dataclass(frozen=True)
class Ranked:
    """Unit embeddings of the ID labels and the candidates, the selection scores of the latter, and the model."""

    facts: ModelFacts
    id_embeddings: np.ndarray
    embeddings: np.ndarray
    scores: np.ndarray


def _ranked(asked: Build, spec: ModelSpec, pool: EncodePool) -> Ranked:
    """Each text encoded under its own prompts, and ranked where it is encoded."""
    import ray.data
    from ray.data import ActorPoolStrategy

    from pipelines.cluster import tables

    prompts = PROMPTS[asked.config.criterion]
    templates = {"id": prompts.id, "noun": prompts.noun, "adjective": prompts.adjective}
    texts = [*asked.ids, *(word.text for word in asked.candidates)]
    names = ["id"] * len(asked.ids) + [word.part for word in asked.candidates]
    table = pa.table({"index": np.arange(len(texts)), "text": texts, "prompt": names})
    parts = [table.slice(start, WORDS_AT_ONCE) for start in range(0, len(table), WORDS_AT_ONCE)]
    ranked = ray.data.from_blocks(parts).map_batches(
        RankTexts,
        fn_constructor_args=(spec, templates, asked.ids, asked.config.quantile),
        batch_size=WORDS_AT_ONCE,
        batch_format="pyarrow",
        num_cpus=pool.cpus,
        num_gpus=pool.gpus or None,
        compute=ActorPoolStrategy(size=min(pool.workers or 1, len(parts))),
    )
    facts, rows = _of_one_model(tables(ranked), spec)
    embeddings = rows["embedding"].combine_chunks().flatten().to_numpy().reshape(len(texts), facts.dim)
    ids = len(asked.ids)
    return Ranked(facts, embeddings[:ids], embeddings[ids:], rows["selection_score"].to_numpy()[ids:])


def _of_one_model(encoded: Iterable[pa.Table], spec: ModelSpec) -> tuple[ModelFacts, pa.Table]:
    """All rows in order, and the model that every worker says it has loaded. Raises CallerError if it cannot be."""
    from pipelines.cluster import remembered

    parts = list(encoded)
    told = {said for rows in parts for said in rows["facts"].drop_null().to_pylist()}
    facts = {remembered(spec, FACTS.validate_json(said)) for said in told}
    if len(facts) > 1:
        raise RuntimeError(f"--model {spec.name!r} has other weights on some workers than on others")
    return facts.pop(), pa.concat_tables(parts).sort_by("index")


def _kept(parts: Sequence[str], scores: np.ndarray, fraction: float) -> np.ndarray:
    """Indices of the kept candidates, nouns first, each part best first."""
    kept = []
    for part in sorted(set(parts), reverse=True):
        members = np.flatnonzero(np.array(parts) == part)
        kept.append(members[keep_lowest(scores[members], fraction)])
    return np.concatenate(kept)


def _bank(asked: Build, ranked: Ranked, spec: ModelSpec) -> LabelBank:
    config, ids = asked.config, len(asked.ids)
    kept = _kept([word.part for word in asked.candidates], ranked.scores, config.fraction)
    negatives = [asked.candidates[index] for index in kept]
    candidate_parts = Counter(word.part for word in asked.candidates)
    kept_parts = Counter(word.part for word in negatives)
    corpus: dict[str, Any] = {"sources": list(config.corpus)}
    if "wordnet" in config.corpus:
        corpus["wordnet_files"] = list(config.wordnet_files)
    prompts = PROMPTS[config.criterion]
    return LabelBank(
        texts=[*asked.ids, *(word.text for word in negatives)],
        parts=["noun"] * ids + [word.part for word in negatives],
        id_count=ids,
        embeddings=np.concatenate([ranked.id_embeddings, ranked.embeddings[kept]]),
        selection_scores=np.concatenate([np.full(ids, np.nan), ranked.scores[kept]]),
        verdicts=[None] * (ids + len(kept)),
        info=BankInfo(
            model=spec.name,
            pretrained=spec.pretrained,
            weights=ranked.facts.weights,
            prompts={name: list(getattr(prompts, name)) for name in ("id", "noun", "adjective")},
            temperature=config.temperature or ranked.facts.temperature,
            permutation_seed=config.permutation_seed,
            corpus=corpus,
            criterion={"name": config.criterion, "quantile": config.quantile, "fraction": config.fraction},
            judge={"name": config.judge},
            counts={
                "id_labels": ids,
                **{f"candidates_{part}": count for part, count in sorted(candidate_parts.items())},
                **{f"kept_{part}": count for part, count in sorted(kept_parts.items())},
            },
        ),
    )
