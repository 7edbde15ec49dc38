"""Engines that are killed while they answer: Ray starts others, every question has one answer."""

import shutil
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from ood_core.negfilter.questions import ANSWERS, questions
from tests.vllm.asking import answered, asked, judge

WAIT_S = 120
pytestmark = pytest.mark.usefixtures("ray_session")


def living(name: str, not_this: int = 0) -> psutil.Process:
    """The process of that name in this session's cluster, once there is one (other than the one given)."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        for process in psutil.Process().children(recursive=True):
            if process.pid != not_this and name in "".join(_command(process)):
                return process
        time.sleep(0.1)
    raise TimeoutError(f"no process {name}")


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_an_actor_killed_mid_run_is_replaced_and_nothing_is_lost(tiny_llm: Path) -> None:
    found = judge(tiny_llm, engine="in-process", batch_size=256)
    table = asked(600)
    stream = found.answers([table])
    tables = [next(stream)]
    killed = living("ray::Engine")
    killed.kill()
    tables.extend(stream)
    rows = pa.concat_tables(tables)
    assert rows.schema == ANSWERS, questions
    assert sorted(rows["question"].to_pylist()) == sorted(table["question"].to_pylist())
    assert rows["answer"].null_count == 0
    assert living("ray::Engine").pid != killed.pid


def test_processes_of_a_processor_that_are_killed_are_replaced_and_nothing_is_lost(tiny_llm: Path) -> None:
    table = asked(2000)
    stream = judge(tiny_llm, engine="processor", batch_size=128).answers([table])
    tables = [next(stream)]
    engine = living("VLLM::EngineCore")
    engine.kill()
    living("VLLM::EngineCore", not_this=engine.pid)
    living("ray::MapWorker(MapBatches(vLLMEngineStageUDF))").kill()
    tables.extend(stream)
    rows = pa.concat_tables(tables)
    assert sorted(rows["question"].to_pylist()) == sorted(table["question"].to_pylist())
    assert rows["answer"].null_count == 0


def test_a_question_that_an_engine_fails_on_is_an_error_and_those_beside_it_are_answered(
    tiny_llm: Path, tmp_path: Path
) -> None:
    """Its tokenizer has a word that the model has no weights for."""
    from transformers import AutoTokenizer  # pyright: ignore[reportMissingImports]

    model = shutil.copytree(tiny_llm, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.add_tokens(["floccinaucinihilipilification"])
    tokenizer.save_pretrained(model)
    bad = questions([("floccinaucinihilipilification", None, None)])
    found = answered(judge(model, engine="in-process", batch_size=32, attempts=2), [asked(12), bad])
    errors = {question: row["error"] for question, row in found.items() if row["error"]}
    assert list(errors) == bad["question"].to_pylist()
