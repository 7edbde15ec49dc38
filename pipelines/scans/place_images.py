"""A scan of images on a cluster: the model, and the pool of encoders."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ood_core.decoding import Decoder
from ood_core.methods import learners_of
from pipelines.config.pools import EncodePool, ScorePool
from pipelines.config.rescore import ReadEmbeddings
from pipelines.config.scan import Scan
from pipelines.inputs.label_bank import check_bank_fits, noun_templates
from pipelines.inputs.stored_embeddings import EitherEmbeddings, EmbeddingSource, StoredEmbeddings
from pipelines.memory.scoring import MemoryUse
from pipelines.runtime.cluster import Cluster, nodes
from pipelines.runtime.model import ModelFacts, ModelSpec, model_facts, model_spec
from pipelines.runtime.pools import fit_encoders, fit_scorers
from pipelines.runtime.progress import Say, quiet
from pipelines.scan_directory.encoded import EncodedEmbeddings
from pipelines.scan_directory.identity import model_identity
from pipelines.scan_directory.layout import ENCODED, REFERENCE
from pipelines.scan_directory.run import Run
from pipelines.scans.checks import check_inversion, check_local_features
from pipelines.scans.encode_images import EncodeImagesStep
from pipelines.scans.encode_reference import EncodeReferenceStep
from pipelines.scans.placement import FirstStep
from pipelines.scans.request import Request
from pipelines.scans.step import Step
from pipelines.scans.workers.encode import ScoreSpec
from pipelines.scans.workers.encode_shards import MOST_READERS, WRITERS, EncodeSpec
from pipelines.scans.workers.texts import Texts


@dataclass(frozen=True)
class ImagePlacement:
    """A scan of images on a cluster (see `Placement`)."""

    request: Request
    config: Scan
    model: ModelSpec
    facts: ModelFacts
    encode_pool: EncodePool
    score_pool: ScorePool

    @property
    def device(self) -> str:
        return self.model.device

    @property
    def identity(self) -> Mapping[str, Any]:
        return model_identity(self.model, self.facts)

    @property
    def lanes(self) -> Mapping[str, int]:
        workers, decoders = self.encode_pool.least_workers or 1, self.encode_pool.decode_threads or 1
        each = {
            "read_s": min(MOST_READERS, decoders),
            "decode_s": decoders,
            "encode_s": 1,
            "score_s": 1,
            "write_s": WRITERS,
        }
        return {name: workers * lanes for name, lanes in each.items()}

    @property
    def embeddings(self) -> EncodedEmbeddings:
        return EncodedEmbeddings(self.request.output, self.request.bank.dim)

    @property
    def kept(self) -> str | None:
        return "float16" if self.config.embeddings else None

    @property
    def texts(self) -> Texts:
        """From the model's text encoder."""
        return Texts(self.model, None, self.request.options, noun_templates(self.request.bank))

    def first_step(self, run: Run, first: FirstStep) -> Step:
        """Encodes the images. Later steps see their embeddings in full precision."""
        if self.facts.remark:
            run.say(f"{self.model.name} {self.facts.remark}")
        kept = "float32" if first.folder == ENCODED else "float16" if self.config.embeddings else None
        spec = self._encoders(ScoreSpec(self.request.bank, first.methods, kept, first.memory))
        return EncodeImagesStep(run, spec, self.encode_pool, first.folder, first.keeper)

    def reference_steps(self, run: Run) -> list[Step]:
        """Encodes the reference's images, if it holds any."""
        shards = self.request.reference.images if self.request.reference else []
        if not shards:
            return []
        spec = self._encoders(ScoreSpec(self.request.bank, {}, "float32", MemoryUse()))
        calibrates = bool(self.request.flags.by_reference(self.request.methods))
        return [EncodeReferenceStep(EncodeImagesStep(run, spec, self.encode_pool, REFERENCE), shards, calibrates)]

    @property
    def reference(self) -> EmbeddingSource:
        """Its images where they have been encoded, its tables where they lie."""
        dim, read = self.request.bank.dim, ReadEmbeddings(retry_s=self.config.read.retry_s)
        stored = StoredEmbeddings(read, dim, self.request.options)
        return EitherEmbeddings(stored, EncodedEmbeddings(self.request.output, dim, REFERENCE))

    def _encoders(self, score: ScoreSpec) -> EncodeSpec:
        """What encoders need that score images so."""
        return EncodeSpec(
            read=self.config.read,
            options=self.request.options,
            decoder=Decoder(
                self.facts.preprocessing,
                self.config.read.decode,
                self.config.read.max_image_pixels,
                self.config.read.max_jpeg_scans,
            ),
            model=self.model,
            score=score,
            decode_threads=self.encode_pool.decode_threads or 1,
            batch_size=self.encode_pool.batch_size or 1,
        )


def place_images(request: Request, found: Cluster, say: Say = quiet) -> ImagePlacement:
    """Raises CallerError if the pools do not fit the cluster, or the model not the label bank or the methods."""
    config = request.config
    if not isinstance(config, Scan):
        raise TypeError("images are scanned, not rescored")
    model = model_spec(config.model, config.encode, found)
    encode = fit_encoders(config.encode, model.device, found, say)
    score = fit_scorers(_like(encode), model.device, replace(found, nodes=nodes()))
    facts = model_facts(model)
    check_bank_fits(request.bank, config.labels, model, facts)
    check_local_features(request.methods, model, facts)
    check_inversion(learners_of(request.methods), model, facts)
    for made in (request.initial, request.reference, request.flags, request.verdicts):
        if made:
            made.check_weights(facts.weights)
    return ImagePlacement(request, config, model.settled(facts), facts, encode, score)


def _like(encode: EncodePool) -> ScorePool:
    """A pool of scorers that takes of the cluster what the encoders have taken, one after the other."""
    return ScorePool(threads=encode.threads, gpus=encode.gpus, cpus=encode.cpus if encode.gpus else None)
