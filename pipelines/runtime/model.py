"""The model that a scan encodes with: where it comes from, what it runs on, and what is known of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import ray
import ray.data
from pydantic import TypeAdapter

from ood_core.preprocessing import Preprocessing
from pipelines.config.model import Model
from pipelines.config.pools import EncodePool
from pipelines.errors import CallerError
from pipelines.runtime.cluster import Cluster

if TYPE_CHECKING:
    from ood_core.encoders import ClipEncoder


BUNDLED = "bundled"


BUNDLED_DIRECTORY = Path(__file__).parents[1] / "demo" / "model"


def openclip_name(name: str) -> str:
    """The name that OpenCLIP knows a model by; `bundled` is the small model that comes with oodscan."""
    return f"local-dir:{BUNDLED_DIRECTORY}" if name == BUNDLED else name


@dataclass(frozen=True)
class ModelSpec:
    """A model resolved: where it comes from and on what it runs. `weights`: the fingerprint it must have."""

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

    `local_features`: why it gives none, and `inversion`: why it cannot turn images into words; None where it can.
    """

    weights: str
    dim: int
    temperature: float
    preprocessing: Preprocessing
    local_features: str | None = None
    inversion: str | None = None


FACTS: TypeAdapter[ModelFacts | str] = TypeAdapter(ModelFacts | str)


def describe(spec: ModelSpec) -> ModelFacts | str:
    """A model's facts, or the reason why it cannot be loaded."""
    from ood_core.encoders import ModelError

    try:
        encoder = spec.load()
    except ModelError as error:
        return str(error)
    return facts_of(encoder)


def facts_of(encoder: "ClipEncoder") -> ModelFacts:
    from ood_core.memory.inversion import inversion_problem

    return ModelFacts(
        weights=encoder.fingerprint,
        dim=encoder.dim,
        temperature=encoder.temperature,
        preprocessing=encoder.preprocessing,
        local_features=encoder.local_features_problem(),
        inversion=inversion_problem(encoder),
    )


def device_of(model: Model, found: Cluster) -> str:
    """`cuda` where the cluster has GPUs, unless the caller says otherwise."""
    if model.device == "cuda" and not found.gpus:
        raise CallerError("--device cuda: the cluster has no GPU")
    return model.device if model.device != "auto" else "cuda" if found.gpus else "cpu"


def model_spec(model: Model, pool: EncodePool, found: Cluster) -> ModelSpec:
    """The model with its device and dtype decided: a GPU and bfloat16 where the cluster has GPUs."""
    if model.name is None:
        raise CallerError("--model is missing, and the label bank does not say which model it was made with")
    device = device_of(model, found)
    dtype = model.dtype if model.dtype != "auto" else "bfloat16" if device == "cuda" else "float32"
    block = pool.block or (256 if device == "cuda" else 16)
    return ModelSpec(model.name, model.pretrained, device, dtype, block, pool.threads)


_known: dict[tuple[str, str | None], ModelFacts] = {}
"""What workers have said of models. Should the weights change meanwhile, the workers that load them will say so."""


def model_facts(spec: ModelSpec) -> ModelFacts:
    """Asked of a worker: this process need not import torch. Raises CallerError if the model cannot be loaded."""
    key = (spec.name, spec.pretrained)
    if key in _known:
        return _known[key]
    return remembered(spec, ray.get(ray.remote(describe).options(num_cpus=0.5).remote(ModelSpec(*key))))


def remembered(spec: ModelSpec, facts: ModelFacts | str) -> ModelFacts:
    """What a worker has said of the model. Raises CallerError if it is why it cannot be loaded."""
    if isinstance(facts, str):
        given = f"--model {spec.name!r}" + (f" --pretrained {spec.pretrained!r}" if spec.pretrained else "")
        raise CallerError(f"{given} cannot be loaded: {facts}")
    _known[spec.name, spec.pretrained] = facts
    return facts
