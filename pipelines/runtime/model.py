"""The model that a scan encodes with: where it comes from, what it runs on, and what is known of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from ood_core.preprocessing import Preprocessing
from pipelines.config.model import Model
from pipelines.config.pools import EncodePool
from pipelines.errors import CallerError

if TYPE_CHECKING:
    from ood_core.encoders import ClipEncoder
    from pipelines.runtime.cluster import Cluster

BUNDLED = "bundled"
"""The name of the small model that comes with oodscan; it knows drawings only."""

BUNDLED_DIRECTORY = Path(__file__).parents[1] / "demo" / "model"


def openclip_name(name: str) -> str:
    """The name by which OpenCLIP loads a model."""
    return f"local-dir:{BUNDLED_DIRECTORY}" if name == BUNDLED else name


@dataclass(frozen=True)
class ModelSpec:
    """Where a model comes from and what it runs on; workers load it from this.

    `block`: images a forward pass; `threads`: of torch; `weights`: the fingerprint that they must have, if known.
    """

    name: str
    pretrained: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    block: int = 16
    threads: int = 1
    weights: str | None = None

    def load(self) -> "ClipEncoder":
        """Raises ModelError if it cannot be loaded or its weights are not those that the scan was begun with."""
        import torch

        from ood_core.encoders import ClipEncoder, ModelError

        torch.set_num_threads(self.threads)
        encoder = ClipEncoder.load(openclip_name(self.name), self.pretrained, self.device, self.dtype, self.block)
        if self.weights not in (None, encoder.fingerprint):
            raise ModelError(f"{self.name} has other weights on this worker than where the scan was started")
        return encoder


@dataclass(frozen=True)
class ModelFacts:
    """What a scan has to know of a model before it starts.

    `weights`: their fingerprint; `dim`: of its embeddings; `temperature`: 1 / its learned logit scale.
    `local_features`: why it gives none, `inversion`: why it cannot turn images into words; None where it can.
    """

    weights: str
    dim: int
    temperature: float
    preprocessing: Preprocessing
    local_features: str | None = None
    inversion: str | None = None


FACTS: TypeAdapter[ModelFacts | str] = TypeAdapter(ModelFacts | str)


def describe(spec: ModelSpec) -> ModelFacts | str:
    """A model's facts, or the reason why it cannot be loaded. Loads the model, so for workers."""
    from ood_core.encoders import ModelError

    try:
        encoder = spec.load()
    except ModelError as error:
        return str(error)
    return facts_of(encoder)


def facts_of(encoder: "ClipEncoder") -> ModelFacts:
    """The facts of a model that is loaded."""
    from ood_core.memory.inversion import inversion_problem

    return ModelFacts(
        weights=encoder.fingerprint,
        dim=encoder.dim,
        temperature=encoder.temperature,
        preprocessing=encoder.preprocessing,
        local_features=encoder.local_features_problem(),
        inversion=inversion_problem(encoder),
    )


def device_of(model: Model, found: "Cluster") -> str:
    """The device to run on: `cuda` where the cluster has GPUs, unless the caller says otherwise.

    Raises CallerError if a GPU is asked for and the cluster has none.
    """
    if model.device == "cuda" and not found.gpus:
        raise CallerError("--device cuda: the cluster has no GPU")
    return model.device if model.device != "auto" else "cuda" if found.gpus else "cpu"


def model_spec(model: Model, pool: EncodePool, found: "Cluster") -> ModelSpec:
    """The model with device, dtype and block decided: a GPU and bfloat16 where the cluster has GPUs.

    Raises CallerError if no model is named.
    """
    if model.name is None:
        raise CallerError("--model is missing, and the label bank does not say which model it was made with")
    device = device_of(model, found)
    dtype = model.dtype if model.dtype != "auto" else "bfloat16" if device == "cuda" else "float32"
    block = pool.block or (256 if device == "cuda" else 16)
    return ModelSpec(model.name, model.pretrained, device, dtype, block, pool.threads)


_known: dict[tuple[str, str | None], ModelFacts] = {}
"""Facts by name and pretrained tag, as workers have told them. If the weights change, loading them fails."""


def model_facts(spec: ModelSpec) -> ModelFacts:
    """The facts of a model, which a worker loads to tell them: this process need not import torch.

    Raises CallerError if it cannot be loaded.
    """
    import ray

    key = (spec.name, spec.pretrained)
    if key in _known:
        return _known[key]
    return checked_facts(spec, ray.get(ray.remote(describe).options(num_cpus=0.5).remote(ModelSpec(*key))))


def checked_facts(spec: ModelSpec, facts: ModelFacts | str) -> ModelFacts:
    """The facts that a worker has told of a model. Raises CallerError if they are why it cannot be loaded."""
    if isinstance(facts, str):
        given = f"--model {spec.name!r}" + (f" --pretrained {spec.pretrained!r}" if spec.pretrained else "")
        raise CallerError(f"{given} cannot be loaded: {facts}")
    _known[spec.name, spec.pretrained] = facts
    return facts
