"""Questions/s of an engine with prefix caching on against off, at three lengths of the shared instruction.

The engine of `--judge vllm` without Ray, one with and one without, in turn, each in a process of its own: the real
instruction, and the same padded to about 128 and 384 tokens. Questions as in a build, four subcategories of each
candidate; none is asked twice of an engine. Only whole blocks of tokens are shared, on CPUs of 32.

python -m infra.benchmarks.prefix_caching [--questions 2048] [--repeats 3]
"""

import json
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa

from infra.benchmarks.workloads import SEED, machine, parser, say
from infra.tiny_llm.make import make_tiny_llm
from ood_core.negfilter.questions import SYSTEM, questions
from ood_core.vocabulary import NOUN_FILES, wordnet_corpus
from pipelines.config.judges import Vllm
from pipelines.judges.vllm import VllmJudge
from pipelines.judges.vllm_engine import Engine
from pipelines.judges.vllm_pool import fit_engines

LABELS = ("dog", "guitar", "city", "tool")
TOKENS = (0, 128, 384)
"""That the shared part is padded to; 0: as it is."""
PADDING = " Answering only Yes/No."
BLOCK = 1024


@cache
def engine(model: Path, prefix_caching: bool) -> Engine:
    judge = VllmJudge(Vllm(model=str(model), dtype="float32", prefix_caching=prefix_caching))
    return Engine(judge._spec(fit_engines(judge.config, 1, 0)))


def padded(asked: Engine, tokens: int) -> tuple[Any, int]:
    """The engine's prompts, their shared part padded to so many tokens at least, and how many it has."""
    prompts, count = asked.spec.prompts, 0
    while (count := len(asked.tokenizer(prompts.before)["input_ids"])) < tokens:
        prompts = replace(prompts, before=prompts.before.replace(SYSTEM, SYSTEM + PADDING, 1))
    return prompts, count


def rate(model: Path, prefix_caching: bool, tokens: int, words: Sequence[str]) -> dict[str, float]:
    """In a process that keeps its engine."""
    asked = engine(model, prefix_caching)
    own = asked.spec
    prompts, count = padded(asked, tokens)
    asked.spec = replace(own, prompts=prompts)
    table = questions((word, label, 1) for word in words for label in LABELS)
    asked.ask(questions((f"warm-up {number} of {words[0]}", None, None) for number in range(BLOCK)))
    start = time.perf_counter()
    found = pa.concat_tables(asked.ask(table.slice(at, BLOCK)) for at in range(0, len(table), BLOCK))
    seconds = time.perf_counter() - start
    asked.spec = own
    return {"shared_tokens": count, "questions_per_s": len(found) / seconds, "errors": len(found) - _valid(found)}


def _valid(found: pa.Table) -> int:
    return len(found) - found["answer"].null_count


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--questions", type=int, default=2048, help="of each run")
    options_of.add_argument("--repeats", type=int, default=3)
    options = options_of.parse_args()
    model = make_tiny_llm(options.scratch / "tiny_llm")
    each = options.questions // len(LABELS)
    nouns = [word.text for word in wordnet_corpus(NOUN_FILES)]
    words = random.Random(SEED).sample(nouns, each * options.repeats * len(TOKENS))  # noqa: S311
    result: dict[str, Any] = {"machine": machine()}
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as with_cache, ProcessPoolExecutor(1, spawn) as without:
        for place, tokens in enumerate(TOKENS):
            runs = []
            for repeat in range(options.repeats):
                start = (place * options.repeats + repeat) * each
                mine = words[start : start + each]
                on = with_cache.submit(rate, model, True, tokens, mine).result()
                off = without.submit(rate, model, False, tokens, mine).result()
                runs.append({"on": on, "off": off, "ratio": on["questions_per_s"] / off["questions_per_s"]})
                say(f"{tokens} tokens, {repeat + 1} of {options.repeats}: {runs[-1]}")
            result[str(tokens)] = {"median_ratio": statistics.median(run["ratio"] for run in runs), "runs": runs}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
