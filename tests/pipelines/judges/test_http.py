import random
import threading
import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from ood_core.negfilter.questions import PROMPT_VERSION, SYSTEM, prompt, questions
from pipelines.config.judges import Http
from pipelines.judges.http import HttpJudge
from pipelines.judges.judge import Judge
from pipelines.judges.rows import TABLE_SECONDS
from tests.pipelines.judges.asking import BAD, KEY, WORDS, answers, asked, judge, of_bad, truth
from tests.pipelines.judges.openai_server import DROP, Reply, Request, fails, says, serving


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OODSCAN_TEST_KEY", KEY)


@pytest.mark.parametrize("concurrency", [1, 7, 64])
def test_every_question_is_answered_once_in_whatever_order(concurrency: int) -> None:
    def reply(request: Request) -> Reply:
        time.sleep(random.Random(request.question).uniform(0, 0.005))
        return truth(request)

    with serving(reply) as server:
        found = answers(judge(server, concurrency=concurrency), WORDS)
    assert {word: row["answer"] for word, row in found.items()} == {
        word: "yes" if "a" in word else "no" for word in WORDS
    }
    assert all(row["error"] is None and row["probability_yes"] is None for row in found.values())
    assert len(server.requests) == len(WORDS)
    assert server.most_at_once <= concurrency
    assert concurrency == 1 or server.most_at_once > 1


def test_a_question_is_a_chat_of_the_instruction_and_the_prompt() -> None:
    with serving(truth) as server:
        judge_ = judge(server, extra_body={"allowed_token_ids": [3, 5]})
        found = pa.concat_tables(judge_.answers([questions([("bulldog", "dog", 1)])]))
    assert found["answer"].to_pylist() == ["no"]
    [request] = server.requests
    assert request.key == KEY
    assert request.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": prompt("bulldog", "dog")},
        ],
        "temperature": 0,
        "max_tokens": 4,
        "logprobs": True,
        "top_logprobs": 5,
        "allowed_token_ids": [3, 5],
    }
    assert judge_.prompt_version == PROMPT_VERSION and isinstance(judge_, Judge)


@pytest.mark.parametrize("fault", [fails(429), fails(500), DROP], ids=["429", "500", "dropped"])
def test_what_passes_at_the_third_attempt_is_one_answer(fault: Reply) -> None:
    with serving(of_bad(lambda request: fault if request.attempt < 3 else says("Yes."))) as server:
        found = answers(judge(server), [BAD, *WORDS[:20]])
    assert found[BAD] == {"answer": "yes", "probability_yes": None, "error": None}
    assert len(server.requests) == 23


@pytest.mark.parametrize(
    ("reply", "requests", "error"),
    [
        (fails(500, "out of order"), 3, "InternalServerError: Error code: 500 - out of order"),
        (fails(400, f"of {KEY}"), 1, "BadRequestError: Error code: 400 - of (key)"),
        (fails(403, "flagged"), 1, "PermissionDeniedError: Error code: 403"),
        (says("Maybe, or " * 100), 1, "neither yes nor no, but 'Maybe, or Maybe"),
        (says(None), 1, "neither yes nor no, but ''"),
        (Reply(200, b"<html>welcome"), 1, "no chat completion, but '<html>welcome'"),
        (Reply(200, {"choices": []}), 1, "no chat completion, but "),
    ],
)
def test_what_cannot_be_answered_is_an_error_and_the_rest_is_answered(reply: Reply, requests: int, error: str) -> None:
    with serving(of_bad(lambda _: reply)) as server:
        found = answers(judge(server, concurrency=1, attempts=3), [*WORDS[:20], BAD, *WORDS[20:30]])
    said = str(found[BAD].pop("error"))
    assert said.startswith(error) and len(said) <= 200 and KEY not in said
    assert found.pop(BAD) == {"answer": None, "probability_yes": None}
    assert all(row["answer"] and row["error"] is None for row in found.values())
    assert server.attempts[prompt(BAD, None)] == requests


def test_a_server_that_refuses_logprobs_is_asked_without_them() -> None:
    with serving(lambda request: fails(400) if "logprobs" in request.body else truth(request)) as server:
        found = answers(judge(server, concurrency=4), WORDS)
    assert all(row["answer"] and row["probability_yes"] is None for row in found.values())
    assert len(server.requests) <= len(WORDS) + 8


def test_probabilities_are_of_the_tokens_that_spell_yes_and_no() -> None:
    with serving(lambda _: says("Yes", Yes=-1.0, yes=-2.0, **{" NO\n": -1.5, "Y": -0.5, "no": -3.0})) as server:
        found = answers(judge(server), ["aa"])
    yes, no = 0.36787944 + 0.13533528, 0.22313016 + 0.04978707
    assert found["aa"]["probability_yes"] == pytest.approx(yes / (yes + no))


def test_questions_are_drawn_no_faster_than_they_are_answered() -> None:
    drawn = 0

    def endless() -> Iterator[pa.Table]:
        nonlocal drawn
        while True:
            yield asked(WORDS[drawn % 100 : drawn % 100 + 1])
            drawn += 1

    with serving(truth) as server:
        tables = judge(server, concurrency=8).answers(endless())
        assert drawn == 0
        handed_over = 0
        for _ in range(2):
            since = time.monotonic()
            rows = next(tables).num_rows
            assert rows >= 256 or time.monotonic() - since >= TABLE_SECONDS
            handed_over += rows
            assert drawn <= handed_over + 8
        tables.close()  # type: ignore[attr-defined]
        assert len(server.requests) <= drawn + 1


def test_an_error_of_the_questions_comes_through_and_ends_the_requests() -> None:
    all_asked, ended = threading.Barrier(6), threading.Event()

    def reply(request: Request) -> Reply:
        all_asked.wait(60)
        ended.wait(60)
        return truth(request)

    def broken() -> Iterator[pa.Table]:
        yield asked(WORDS[:5])
        all_asked.wait(60)
        raise OSError("the table of questions is gone")

    with serving(reply) as server:
        with pytest.raises(OSError, match="is gone"):
            list(judge(server).answers(broken()))
        ended.set()
    assert len(server.requests) == 5


def test_answers_of_another_server_or_of_other_parameters_are_of_another_model() -> None:
    def model(url: str, **extra_body: object) -> str:
        return HttpJudge(Http(url=url, model="org/m", extra_body=extra_body)).model

    assert model("https://Host.example/api/v1/") == "org/m@host.example/api/v1"
    assert model("http://host.example:8000/v1") == "org/m@host.example:8000/v1"
    assert model("http://h/v1", a=1, b=2) == model("http://h/v1", b=2, a=1) != model("http://h/v1", a=1)
