"""The pool of vLLM engines: how many fit a cluster, how they are started, and who is asked what."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.config.judges import Engines, Vllm
from pipelines.errors import CallerError, first_line
from pipelines.judges.vllm_engine import Engine, EngineSpec
from pipelines.judges.vllm_prompts import failures

RETRIES = 3
"""How often a batch is repeated whose engine died, after Ray has started another."""
ENGINE_CPUS = 1.0


@dataclass(frozen=True)
class EnginePool:
    """How many engines, and what each runs on: `gpus` GPUs, or `threads` CPU threads where that is 0.

    `processor`: whether they run under Ray Data's `build_processor`, rather than within actors of ours.
    """

    workers: int
    gpus: int
    threads: int
    processor: bool

    @property
    def bundle(self) -> dict[str, float]:
        """The Ray resources of each worker process of an engine."""
        return {"GPU": 1} if self.gpus else {"CPU": ENGINE_CPUS / 2}


def fit_engines(config: Engines, cpus: float, gpus: float) -> EnginePool:
    """The engines that run on a cluster of so many CPUs and GPUs. Raises CallerError if those asked for do not fit."""
    option, each, processor = config.option, config.tensor_parallel, False
    if each > 1 and not gpus:
        raise CallerError(f"{option}-tensor-parallel {each}: the cluster has no GPU")
    if isinstance(config, Vllm):
        processor = config.engine == "processor" or (config.engine == "auto" and gpus > 0)
        if each > 1 and not processor:
            raise CallerError(f"{option}-tensor-parallel {each} needs {option}-engine processor, not {config.engine}")
    most = int(gpus / each if gpus else cpus / ENGINE_CPUS)
    workers = config.workers or (max(1, most) if gpus else 1)
    if workers > most:
        takes = f"{each} GPUs ({option}-tensor-parallel)" if gpus else f"{ENGINE_CPUS:g} CPU"
        raise CallerError(
            f"{option}-workers {workers} with {takes} each do not fit a cluster of {cpus:g} CPUs and {gpus:g} GPUs"
        )
    return EnginePool(workers, each if gpus else 0, max(1, int(cpus / workers)), processor)


def start(spec: EngineSpec, pool: EnginePool) -> list[Any]:
    """Starts the engines as actors. Raises CallerError if the model cannot be loaded."""
    import ray
    from ray.exceptions import RayActorError

    remote = ray.remote(Engine).options(
        num_cpus=ENGINE_CPUS, num_gpus=pool.gpus, max_restarts=-1, max_task_retries=RETRIES
    )
    engines = [remote.remote(spec) for _ in range(pool.workers)]
    try:
        ray.get([engine.ready.remote() for engine in engines])
    except RayActorError as error:
        raise CallerError(spec.not_loaded(error)) from error
    return engines


def spread(engines: Sequence[Any], blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Replies as they come. Each engine has two blocks at a time, so that it never waits; no more are drawn."""
    import ray
    from ray.exceptions import RayActorError

    free, asked = [*engines, *engines], {}
    while True:
        while free and (block := next(blocks, None)) is not None:
            engine = free.pop(0)
            asked[engine.ask.remote(block)] = engine, block
        if not asked:
            return
        (done, *_), _ = ray.wait(list(asked))
        engine, block = asked.pop(done)
        free.append(engine)
        try:
            yield ray.get(done)
        except RayActorError as error:
            yield failures(block, f"the engine died {RETRIES + 1} times: {first_line(error)}")
