"""Questions of both kinds, what `vllm.LLM` itself says to them, and what a judge does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ood_core.negfilter.questions import ANSWERS, SYSTEM, prompt, questions
from ood_core.vocabulary import NOUN_FILES, wordnet_corpus
from pipelines.config.judges import Vllm
from pipelines.judges.vllm import VllmJudge

LABELS = ("dog", "guitar", "city")


def judge(model: Path, **settings: Any) -> VllmJudge:
    return VllmJudge(Vllm.model_validate({"model": str(model), "dtype": "float32", **settings}))


def asked(negatives: int, start: int = 0) -> pa.Table:
    """Of each negative four questions, together."""
    words = [word.text for word in wordnet_corpus(NOUN_FILES)][start::97][:negatives]
    pairs = [(word, label, rank) for word in words for rank, label in enumerate((None, *LABELS))]
    return questions((word, label, rank or None) for word, label, rank in pairs)


def answered(judge: VllmJudge, tables: Sequence[pa.Table]) -> dict[int, dict[str, Any]]:
    """By question. Each must be answered once."""
    found = pa.concat_tables(judge.answers(tables))
    assert found.schema == ANSWERS
    expected = pa.concat_tables(tables)["question"].to_pylist()
    assert sorted(found["question"].to_pylist()) == sorted(expected)
    return {row["question"]: row for row in found.to_pylist()}


def said_directly(model: Path, table: pa.Table) -> dict[int, tuple[str, float]]:
    """Answer and probability of yes, by vLLM's chat interface and without prefix caching."""
    import ray

    pairs = zip(table["negative"].to_pylist(), table["id_label"].to_pylist(), strict=True)
    chats = [[{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt(*pair)}] for pair in pairs]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    remote = ray.remote(chat).options(num_cpus=0.5, runtime_env={"env_vars": environment})
    return dict(zip(table["question"].to_pylist(), ray.get(remote.remote(str(model), chats)), strict=True))


def chat(model: str, chats: list[Any]) -> list[tuple[str, float]]:
    import math

    from vllm import LLM, SamplingParams  # pyright: ignore

    llm = LLM(model=model, dtype="float32", max_model_len=512, enforce_eager=True, enable_prefix_caching=False)
    yes, no = (llm.get_tokenizer().convert_tokens_to_ids(word) for word in ("Yes", "No"))
    greedy = SamplingParams(max_tokens=1, temperature=0, allowed_token_ids=[yes, no], logprobs=2)
    scored = SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=[yes, no], logprobs=2)
    words = [output.outputs[0].text.lower() for output in llm.chat(chats, greedy, use_tqdm=False)]
    shown = [output.outputs[0].logprobs[0] for output in llm.chat(chats, scored, use_tqdm=False)]
    odds = [(math.exp(each[yes].logprob), math.exp(each[no].logprob)) for each in shown]
    return [(word, up / (up + down)) for word, (up, down) in zip(words, odds, strict=True)]
