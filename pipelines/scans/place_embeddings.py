"""A rescoring on a cluster: its pool of scorers, and a model where texts are encoded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.config.pools import EncodePool, ScorePool
from pipelines.config.rescore import Rescore
from pipelines.inputs.label_bank import check_bank_fits, noun_templates
from pipelines.inputs.stored_embeddings import StoredEmbeddings
from pipelines.memory.orders import has_sequential
from pipelines.runtime.cluster import Cluster
from pipelines.runtime.model import ModelSpec, device_of, model_facts, model_spec
from pipelines.runtime.pools import fit_scorers
from pipelines.runtime.progress import Say, quiet
from pipelines.scan_directory.identity import model_identity
from pipelines.scan_directory.read_again import EmbeddingsReadAgain
from pipelines.scan_directory.run import Run
from pipelines.scans.checks import TextSource, check_inversion
from pipelines.scans.placement import FirstStep
from pipelines.scans.request import Request
from pipelines.scans.score_embeddings import ScoreEmbeddingsStep
from pipelines.scans.step import Step
from pipelines.scans.workers.score_embeddings import ScoreEmbeddingsSpec
from pipelines.scans.workers.texts import Texts


@dataclass(frozen=True)
class EmbeddingPlacement:
    """A rescoring on a cluster (see `Placement`). Embeddings are read where they lie, and not kept again."""

    request: Request
    config: Rescore
    device: str
    model: ModelSpec | None
    score_pool: ScorePool
    identity: Mapping[str, Any]

    kept = None

    @property
    def lanes(self) -> Mapping[str, int]:
        return dict.fromkeys(("read_s", "score_s", "write_s"), self.score_pool.least_workers or 1)

    @property
    def embeddings(self) -> EmbeddingsReadAgain:
        return EmbeddingsReadAgain(self._stored, self.request.output)

    @property
    def _stored(self) -> StoredEmbeddings:
        return StoredEmbeddings(self.config.read, self.request.bank.dim, self.request.options)

    def reference_steps(self, run: Run) -> list[Step]:  # noqa: ARG002
        """None: its embeddings are there."""
        return []

    @property
    def reference(self) -> StoredEmbeddings:
        """Where they lie."""
        return self._stored

    @property
    def texts(self) -> Texts:
        """From a table of them, or the model's text encoder."""
        table = self.request.planned.texts.table if self.request.planned.texts else None
        return Texts(self.model, table, self.request.options, noun_templates(self.request.bank))

    def first_step(self, run: Run, first: FirstStep) -> Step:
        """Scores the embeddings by the methods that need no other image, or by all in sequential order."""
        memory = first.memory
        if first.keeper and memory.memory and memory.memory.streaming:
            memory = replace(memory, batch_size=min(chosen.batch_size for chosen in first.keeper.learners.values()))
        spec = ScoreEmbeddingsSpec(
            bank=self.request.bank,
            methods=first.methods,
            embeddings=self._stored,
            texts=self.texts,
            device=self.device,
            threads=self.score_pool.threads,
            memory=memory,
        )
        sequential = has_sequential(first.methods)
        return ScoreEmbeddingsStep(run, spec, self.score_pool, first.folder, sequential, first.keeper)


def place_embeddings(request: Request, found: Cluster, say: Say = quiet) -> EmbeddingPlacement:
    """Raises CallerError if the pool does not fit the cluster, or a model not the label bank or the methods."""
    config, texts = request.config, request.planned.texts or TextSource()
    if not isinstance(config, Rescore):
        raise TypeError("embeddings are rescored, not scanned")
    device = device_of(config.model, found)
    pool = fit_scorers(config.score, device, found, say)
    identity: dict[str, Any] = {"device": device}
    model: ModelSpec | None = None
    if texts.model is not None:
        model = replace(model_spec(texts.model, EncodePool(threads=pool.threads), found), compiled=False)
        facts = model_facts(model)
        check_bank_fits(request.bank, config.labels, model, facts)
        check_inversion(request.methods, model, facts)
        model = model.settled(facts)
        identity |= model_identity(model, facts)
    for made in (request.initial, request.reference, request.flags):
        if made:
            made.check_weights(model.weights if model else request.bank.info.weights)
    return EmbeddingPlacement(request, config, device, model, pool, identity)
