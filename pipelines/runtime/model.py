"""The model that a scan encodes with: where it comes from, what it runs on, and what is known of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import TypeAdapter

from ood_core.preprocessing import Preprocessing
from pipelines.config.model import Model
from pipelines.config.pools import EncodePool
from pipelines.errors import CallerError
from pipelines.runtime.machine import Machine, bfloat16_unit, this_machine
from pipelines.runtime.trial import try_bfloat16, try_compiled, try_narrow

if TYPE_CHECKING:
    from ood_core.encoders import ClipEncoder
    from pipelines.runtime.cluster import Cluster

BUNDLED = "bundled"
"""The name of the small model that comes with oodscan; it knows drawings only."""

BUNDLED_DIRECTORY = Path(__file__).parents[1] / "demo" / "model"

TRIAL_BLOCK = 4
"""Images a forward pass while a model is described."""

GPU_SHARE = 0.1
"""Of a GPU, for the moment in which a model that runs on one is described."""


def openclip_name(name: str) -> str:
    """The name by which OpenCLIP loads a model."""
    return f"local-dir:{BUNDLED_DIRECTORY}" if name == BUNDLED else name


@dataclass(frozen=True)
class ModelFacts:
    """What a scan has to know of a model before it starts.

    `weights`: their fingerprint, `checksum`: the quick one; `dim`: of its embeddings; `temperature`: 1 / its learned
    logit scale. `local_features`: why it gives none, `inversion`: why it cannot turn images into words; None where it
    can. `dtype` and `compiled`: what was decided on the `machine` that told all this, and why: `remark`, if asked.
    """

    weights: str
    dim: int
    temperature: float
    preprocessing: Preprocessing
    local_features: str | None = None
    inversion: str | None = None
    checksum: str | None = None
    dtype: str = "float32"
    compiled: bool = False
    machine: Machine | None = None
    remark: str = ""


FACTS: TypeAdapter[ModelFacts | str] = TypeAdapter(ModelFacts | str)


@dataclass(frozen=True)
class ModelSpec:
    """Where a model comes from and what it runs on; workers load it from this.

    `dtype` and `compiled` may be "auto" until the model's facts settle them. `block`: images a forward pass; `threads`:
    of torch; `mixed`: workers may run on machines of several kinds; `facts`: what each worker must find again.
    """

    name: str
    pretrained: str | None = None
    device: str = "cpu"
    dtype: str = "float32"
    block: int = 32
    threads: int = 1
    compiled: bool | Literal["auto"] = False
    mixed: bool = False
    facts: ModelFacts | None = None

    @property
    def weights(self) -> str | None:
        """The fingerprint of the weights, if known."""
        return self.facts.weights if self.facts else None

    def settled(self, facts: ModelFacts) -> "ModelSpec":
        """As the worker that told the facts decided; every worker then loads the same, or fails."""
        return replace(self, dtype=facts.dtype, compiled=facts.compiled, facts=facts)

    def plain(self) -> "ModelSpec":
        """With nothing left to the machine: float32 where no dtype is given, and not compiled."""
        return replace(self, dtype="float32" if self.dtype == "auto" else self.dtype, compiled=False)

    def load(self) -> "ClipEncoder":
        """Raises ModelError if it cannot be loaded, or it or this machine are not what the facts say."""
        import torch

        from ood_core.encoders import ClipEncoder, ModelError

        if "auto" in (self.dtype, self.compiled):
            raise TypeError(f"the model's facts are to settle dtype {self.dtype!r} and compiled {self.compiled!r}")
        torch.set_num_threads(self.threads)
        if self.facts and (difference := self._other_machine(self.facts.machine)):
            raise ModelError(difference)
        encoder = ClipEncoder.load(
            openclip_name(self.name), self.pretrained, self.device, self.dtype, self.block, self.weights
        )
        if self.facts and self.facts.checksum not in (None, encoder.checksum):
            raise ModelError(f"{self.name} has other weights on this worker than where the scan was started")
        if self.compiled:
            encoder.compile()
        return encoder

    def _other_machine(self, machine: Machine | None) -> str | None:
        """How this machine differs from the one whose facts are known; None if it does not, or may."""
        if machine is None:
            return None
        begun = vars(machine)
        for name, value in vars(this_machine(self.device)).items():
            if value != begun[name] and not (name == "processor" and self.mixed):
                return (
                    f"{name} is {value!r} on this worker and {begun[name]!r} where the scan was started: keep it to "
                    "nodes of one kind, or allow several kinds of processors (--mixed-processors)"
                )
        return None


def describe(spec: ModelSpec) -> ModelFacts | str:
    """A model's facts, or the reason why it cannot be loaded. Loads the model, so for workers.

    Settles what the spec leaves to the machine by a trial on generated images.
    """
    from ood_core.encoders import ModelError

    try:
        encoder = replace(spec, dtype="float32", block=TRIAL_BLOCK, compiled=False).load()
        facts = replace(facts_of(encoder), dtype=spec.dtype)
        if spec.dtype == "auto":
            dtype, remark = try_bfloat16(encoder, bfloat16_unit())
            facts = replace(facts, dtype=dtype, remark=remark)
        elif problem := try_narrow(encoder, spec.dtype):
            raise ModelError(f"{problem}; give --dtype float32")
        return facts if spec.compiled is False else _with_compiled(spec, facts)
    except ModelError as error:
        return str(error)


def _with_compiled(spec: ModelSpec, facts: ModelFacts) -> ModelFacts:
    """The facts with whether the model runs compiled. Raises ModelError if that was asked for and does not work."""
    from ood_core.encoders import ModelError

    problem = try_compiled(replace(spec.settled(facts), compiled=False).load())
    if problem and spec.compiled is True:
        raise ModelError(f"{problem}; give --no-compile")
    remark = f"not compiled: {problem}" if problem else "compiled"
    return replace(facts, compiled=problem is None, remark="; ".join(filter(None, (facts.remark, remark))))


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
        checksum=encoder.checksum,
        dtype=str(encoder.dtype).removeprefix("torch."),
        machine=this_machine(encoder.device.type),
    )


def device_of(model: Model, found: "Cluster") -> str:
    """The device to run on: `cuda` where the cluster has GPUs, unless the caller says otherwise."""
    return model.device if model.device != "auto" else "cuda" if found.gpus else "cpu"


def model_spec(model: Model, pool: EncodePool, found: "Cluster") -> ModelSpec:
    """The model with device and block decided: a GPU and bfloat16 where the cluster has GPUs.

    On CPUs a dtype of "auto" stays, until a worker has tried: only nodes of one kind can agree on bfloat16. Whether to
    compile stays open on GPUs. Raises CallerError if no model is named.
    """
    if model.name is None:
        raise CallerError("--model is missing, and the label bank does not say which model it was made with")
    device = device_of(model, found)
    on_gpu, mixed = device == "cuda", model.mixed_processors
    return ModelSpec(
        name=model.name,
        pretrained=model.pretrained,
        device=device,
        dtype=model.dtype if model.dtype != "auto" else "bfloat16" if on_gpu else "float32" if mixed else "auto",
        block=pool.block or (256 if on_gpu else 32),
        threads=pool.threads,
        compiled=False if model.compile == "auto" and not on_gpu else model.compile,
        mixed=mixed,
    )


_known: dict[ModelSpec, ModelFacts] = {}
"""Facts by what was asked for, as workers have told them. If the weights change, loading them fails."""


def model_facts(spec: ModelSpec) -> ModelFacts:
    """The facts of a model, which a worker loads to tell them: this process need not import torch.

    Raises CallerError if it cannot be loaded.
    """
    import ray

    asked = replace(spec, threads=1)
    if asked in _known:
        return _known[asked]
    options = {"num_cpus": 0.5, "num_gpus": GPU_SHARE if spec.device == "cuda" else 0}
    return checked_facts(spec, ray.get(ray.remote(describe).options(**options).remote(asked)))


def checked_facts(spec: ModelSpec, facts: ModelFacts | str) -> ModelFacts:
    """The facts that a worker has told of a model. Raises CallerError if they are why it cannot be loaded."""
    if isinstance(facts, str):
        given = f"--model {spec.name!r}" + (f" --pretrained {spec.pretrained!r}" if spec.pretrained else "")
        given += " --compile" if spec.compiled is True else ""
        raise CallerError(f"{given} cannot be loaded: {facts}")
    _known[replace(spec, threads=1)] = facts
    return facts
