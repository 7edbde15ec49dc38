"""What a worker tells of a model, what that settles, and what other workers must find again."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch._inductor import config as inductor

from ood_core.encoders import ClipEncoder, ModelError
from ood_core.trial import trial_images
from pipelines.errors import CallerError
from pipelines.runtime.machine import bfloat16_unit, this_machine
from pipelines.runtime.model import ModelFacts, ModelSpec, checked_facts, describe
from pipelines.runtime.trial import LEAST_COSINE, try_bfloat16
from tests.ood_core.conftest import write_model

WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("model") / "clip", "clip")


@pytest.fixture(scope="module")
def facts(model: str) -> ModelFacts:
    told = describe(ModelSpec(model, dtype="auto"))
    assert isinstance(told, ModelFacts), told
    return told


def changed(model: str, folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> str:
    """A copy of the model with other weights."""
    copy = shutil.copytree(model.removeprefix("local-dir:"), folder)
    weights = load_file(copy / WEIGHTS)
    change(weights)
    save_file(weights, copy / WEIGHTS)
    return f"local-dir:{copy}"


def by_one_bit(weights: dict[str, torch.Tensor]) -> None:
    """Makes one weight the next larger float."""
    last = weights["visual.proj"].view(-1)[-1:]
    last.copy_(torch.nextafter(last, torch.tensor(torch.inf)))


def ill_conditioned(weights: dict[str, torch.Tensor]) -> None:
    """Adds to all features a large constant, which the projection cancels in float32."""
    weights["visual.ln_post.bias"] += 1000
    weights["visual.proj"] -= weights["visual.proj"].mean(dim=0)


# The dtype


def test_a_model_is_described_in_float32_and_settles_on_what_the_processor_computes_in(facts: ModelFacts) -> None:
    assert facts.dtype == ("bfloat16" if bfloat16_unit() else "float32")
    assert facts.remark.startswith(f"encodes in {facts.dtype}: ")
    assert facts.machine == this_machine("cpu")


def test_a_settled_model_is_loaded_as_it_was_described(model: str, facts: ModelFacts) -> None:
    spec = ModelSpec(model, dtype="auto").settled(facts)
    encoder, own = spec.load(), ClipEncoder.load(model, dtype=facts.dtype)
    assert encoder.fingerprint == own.fingerprint == spec.weights
    images = trial_images(own.preprocessing.size)
    assert torch.equal(encoder.encode_images(images), own.encode_images(images))


@pytest.mark.parametrize("undecided", [{"dtype": "auto"}, {"compiled": "auto"}])
def test_what_no_worker_has_settled_is_not_loaded(model: str, undecided: dict[str, str]) -> None:
    spec = replace(ModelSpec(model), **undecided)
    with pytest.raises(TypeError, match="the model's facts are to settle"):
        spec.load()
    assert spec.plain() == ModelSpec(model)


def test_a_processor_without_bfloat16_keeps_float32(model: str) -> None:
    encoder = ClipEncoder.load(model)
    assert try_bfloat16(encoder, None) == (
        "float32",
        "encodes in float32: the processor has no unit for bfloat16",
    )
    assert encoder.dtype == torch.float32


def test_bfloat16_is_taken_if_the_embeddings_stay(model: str) -> None:
    dtype, remark = try_bfloat16(ClipEncoder.load(model), "AMX")
    assert dtype == "bfloat16"
    assert remark.startswith("encodes in bfloat16: bfloat16 by AMX has a least cosine of 0.999")


def test_bfloat16_is_left_if_the_embeddings_do_not_stay(model: str, tmp_path: Path) -> None:
    dtype, remark = try_bfloat16(ClipEncoder.load(changed(model, tmp_path / "other", ill_conditioned)), "AMX")
    assert dtype == "float32"
    assert remark.startswith("encodes in float32: bfloat16 by AMX has a least cosine of ")
    assert float(remark.split()[-3]) < LEAST_COSINE


def test_bfloat16_is_left_if_the_model_does_not_run_in_it_and_refused_if_it_was_asked_for(tmp_path: Path) -> None:
    coca = write_model(tmp_path / "coca", "coca")
    dtype, remark = try_bfloat16(ClipEncoder.load(coca), "AMX")
    assert dtype == "float32"
    assert remark.startswith("encodes in float32: the model does not run in bfloat16: ")
    spec = ModelSpec(coca, dtype="bfloat16")
    with pytest.raises(CallerError, match=r"the model does not run in bfloat16: .*; give --dtype float32"):
        checked_facts(spec, describe(spec))


# What other workers must find again


def test_a_worker_whose_weights_differ_in_one_bit_is_refused(model: str, facts: ModelFacts, tmp_path: Path) -> None:
    spec = ModelSpec(changed(model, tmp_path / "other", by_one_bit), dtype="auto").settled(facts)
    with pytest.raises(ModelError, match="has other weights on this worker than where the scan was started"):
        spec.load()


@pytest.mark.parametrize("name", ["processor", "torch", "torchvision", "pillow"])
def test_a_worker_on_another_machine_is_refused(model: str, facts: ModelFacts, name: str) -> None:
    begun = replace(facts, machine=replace(this_machine("cpu"), **{name: "another"}))
    spec = ModelSpec(model, dtype="auto").settled(begun)
    with pytest.raises(ModelError, match=f"^{name} is '.*' on this worker and 'another' where the scan was started"):
        spec.load()


def test_several_kinds_of_processors_may_be_allowed_but_not_of_libraries(model: str, facts: ModelFacts) -> None:
    machine = replace(this_machine("cpu"), processor="another")
    spec = ModelSpec(model, dtype="auto", mixed=True)
    assert spec.settled(replace(facts, machine=machine)).load().dim == facts.dim
    with pytest.raises(ModelError, match="^torch is "):
        spec.settled(replace(facts, machine=replace(machine, torch="another"))).load()


# Compiled


def test_a_model_that_does_not_compile_runs_plain_and_says_so_or_is_refused_if_it_was_asked_for(
    model: str,
) -> None:
    spec = ModelSpec(model, compiled=True)
    torch._dynamo.reset()
    with inductor.patch({"cpp.cxx": ("no-such-compiler",)}):
        told, why = describe(replace(spec, compiled="auto")), describe(spec)
    assert isinstance(told, ModelFacts)
    assert not told.compiled
    assert told.remark.startswith("not compiled: the model cannot be compiled: ")
    with pytest.raises(CallerError, match=r"^--model .* --compile cannot be loaded: .*; give --no-compile$"):
        checked_facts(spec, why)
