"""Questions/s of `--judge vllm` against NegRefine's own way, Transformers' `generate`, one prompt at a time.

The same tiny model and the questions of a build on both sides: of every candidate whether it is a proper noun, then ten
subcategories. The authors' way is greedy with `max_new_tokens=2`, the word and the end, in a process of its own. Random
weights do not say yes or no by themselves, so answers are compared by the logits of the two words (not timed).

The judge's rate leaves start-up out: engines are warmed up with 4096 questions, and then asked all of them, tokenizing
and Ray included. Those of a processor are started with every wave: its rate is from the first table of answers to the
last. Both sides take turns, each time with candidates that the engines' prefix caches have not seen.

python -m infra.benchmarks.judge_speed [--engine in-process|processor] [--workers 2] [--candidates 1500] [--sample 400]
    [--repeats 3]
"""

import json
import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa

from infra.benchmarks.workloads import DEMO_LABELS, SEED, machine, parser, say
from infra.tiny_llm.make import make_tiny_llm
from ood_core.negfilter.questions import SYSTEM, prompt, questions
from ood_core.vocabulary import NOUN_FILES, wordnet_corpus
from pipelines.config.judges import Vllm
from pipelines.judges.vllm import VllmJudge

LABELS_EACH, NEW_TOKENS, WARM_UP = 10, 2, 4096
Pair = tuple[str, str | None]


def waves(words: Sequence[str]) -> list[list[Pair]]:
    """Proper nouns, and subcategories of random ID labels, those of a candidate together."""
    chance = random.Random(SEED)  # noqa: S311
    labels = DEMO_LABELS.read_text(encoding="utf-8").split("\n")[:-1]
    kinds: list[Pair] = [(word, label) for word in words for label in chance.sample(labels, LABELS_EACH)]
    return [[(word, None) for word in words], kinds]


def asked(pairs: Sequence[Pair]) -> pa.Table:
    return questions((word, label, None if label is None else 1) for word, label in pairs)


class OneByOne:
    """The authors' way."""

    def __init__(self, model: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer  # pyright: ignore[reportMissingImports]

        self.model = AutoModelForCausalLM.from_pretrained(model, dtype="float32")
        self.tokenizer = AutoTokenizer.from_pretrained(model)

    def _inputs(self, pair: Pair) -> Any:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt(*pair)}]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self.tokenizer([text], return_tensors="pt")

    def ask(self, pair: Pair) -> str:
        inputs = self._inputs(pair)
        generated = self.model.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False)
        return self.tokenizer.decode(generated[0][inputs.input_ids.shape[1] :], skip_special_tokens=True)

    def probability_yes(self, pair: Pair) -> float:
        import torch

        yes, no = (self.tokenizer.convert_tokens_to_ids(word) for word in ("Yes", "No"))
        with torch.inference_mode():
            logits = self.model(**self._inputs(pair)).logits[0, -1]
        return float(torch.sigmoid(logits[yes] - logits[no]))


@cache
def one_by_one(model: Path) -> OneByOne:
    made = OneByOne(model)
    for word in ("a", "b", "c") * 10:
        made.ask((word, None))
    return made


def their_rate(model: Path, pairs: Sequence[Pair]) -> float:
    theirs = one_by_one(model)
    start = time.perf_counter()
    for pair in pairs:
        theirs.ask(pair)
    return len(pairs) / (time.perf_counter() - start)


def timed(judge: VllmJudge, pairs: Sequence[Pair]) -> tuple[pa.Table, list[float], list[int]]:
    """Answers, and when each table of them came, and of how many rows."""
    tables, table, start = [], asked(pairs), time.perf_counter()
    arrived = []
    for answers in judge.answers([table]):
        arrived.append(time.perf_counter() - start)
        tables.append(answers)
    return pa.concat_tables(tables), arrived, [len(answers) for answers in tables]


def our_rate(judge: VllmJudge, asking: Sequence[Sequence[Pair]]) -> dict[str, float]:
    """Of all waves together; `start_up_s` is of those engines that are started with every wave."""
    count, seconds, start_up = 0, 0.0, 0.0
    for pairs in asking:
        _, arrived, rows = timed(judge, pairs)
        started = isinstance(judge.config, Vllm) and judge.config.engine == "processor"
        count += sum(rows[started:])
        seconds += arrived[-1] - started * arrived[0]
        start_up += started * arrived[0]
    return {"questions_per_s": count / seconds, "start_up_s": start_up}


def largest_difference(judge: VllmJudge, theirs: OneByOne, pairs: Sequence[Pair]) -> float:
    """Between probabilities of yes."""
    answers, _, _ = timed(judge, pairs)
    ours = dict(zip(answers["question"].to_pylist(), answers["probability_yes"].to_pylist(), strict=True))
    ids = asked(pairs)["question"].to_pylist()
    return max(abs(ours[at] - theirs.probability_yes(pair)) for at, pair in zip(ids, pairs, strict=True))


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--engine", choices=("in-process", "processor"), default="in-process")
    options_of.add_argument(
        "--workers", type=int, default=2, help="engines; a processor is fastest with 1 on two cores"
    )
    options_of.add_argument("--candidates", type=int, default=1500, help="eleven questions each")
    options_of.add_argument("--sample", type=int, default=400, help="questions asked one by one")
    options_of.add_argument("--repeats", type=int, default=3)
    options = options_of.parse_args()
    from pipelines.runtime.cluster import cluster

    model = make_tiny_llm(options.scratch / "tiny_llm")
    nouns = [word.text for word in wordnet_corpus(NOUN_FILES)]
    words = random.Random(SEED).sample(nouns, options.candidates * options.repeats + WARM_UP)  # noqa: S311
    judge = VllmJudge(Vllm(model=str(model), dtype="float32", engine=options.engine, workers=options.workers))
    with cluster(), ProcessPoolExecutor(1, get_context("spawn")) as alone:
        _, arrived, _ = timed(judge, [(word, None) for word in words[:WARM_UP]])
        runs = []
        for repeat in range(options.repeats):
            start = WARM_UP + repeat * options.candidates
            asking = waves(words[start : start + options.candidates])
            sample = random.Random(SEED).sample([*asking[0], *asking[1]], options.sample)  # noqa: S311
            theirs = alone.submit(their_rate, model, sample).result()
            run = {"theirs_questions_per_s": theirs, **our_rate(judge, asking)}
            run["ratio"] = run["questions_per_s"] / run["theirs_questions_per_s"]
            runs.append(run)
            say(f"{repeat + 1} of {options.repeats}: {run}")
        difference = largest_difference(judge, OneByOne(model), sample)
    medians = {f"median_{name}": statistics.median(run[name] for run in runs) for name in runs[0]}
    result = {
        "machine": machine(),
        "engine": options.engine,
        "workers": options.workers,
        "questions": options.candidates * (1 + LABELS_EACH),
        "first_start_up_s": arrived[0],
        **medians,
        "largest_difference": difference,
        "runs": runs,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
