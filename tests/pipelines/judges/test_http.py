import logging
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest

from ood_core.negfilter.questions import ANSWERS, PROMPT_VERSION, SYSTEM, prompt, questions
from pipelines.errors import CallerError
from pipelines.judges import Judge
from pipelines.judges.completion import probability_yes
from pipelines.judges.config import Http
from pipelines.judges.http import GIVE_UP, HttpJudge
from tests.pipelines.judges.openai_server import DROP, OpenAIServer, Reply, Request, fails, says, serving

KEY = "sk-the-secret-of-the-tests"
WORDS = [f"{first}{second}" for first in "abcdefghijklmnopqrstuvwxyz" for second in "abcdefghij"]
BAD = "bad"
"""The word that the server has trouble with."""


def judge(server: OpenAIServer, **settings: object) -> HttpJudge:
    return HttpJudge(Http.model_validate({"url": server.url, "model": "m", "key_env": "OODSCAN_TEST_KEY", **settings}))


def asked(words: list[str]) -> pa.Table:
    return questions((word, None, None) for word in words)


def answers(judge: Judge, words: list[str]) -> dict[str, dict[str, object]]:
    """Of each word, by one table of questions for every 100."""
    tables = [asked(words[start : start + 100]) for start in range(0, len(words), 100)]
    found = pa.concat_tables(judge.answers(tables))
    assert found.schema == ANSWERS and found.num_rows == len(words)
    names = {row["question"]: row["negative"] for table in tables for row in table.to_pylist()}
    return {names[row.pop("question")]: row for row in found.to_pylist()}


def truth(request: Request) -> Reply:
    """Yes to words with an a."""
    return says("Yes" if "a" in request.question.split("'")[1] else "no")


def of_bad(reply: Callable[[Request], Reply]) -> Callable[[Request], Reply]:
    return lambda request: reply(request) if f"'{BAD}'" in request.question else truth(request)


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


@pytest.mark.parametrize(
    ("reply", "mistake"),
    [
        (
            fails(401, f"wrong key {KEY}"),
            r"--judge-url .* refuses the key in the environment variable OODSCAN_TEST_KEY",
        ),
        (fails(403), r"--judge-url .* refuses the key in the environment variable OODSCAN_TEST_KEY \(403\)"),
        (fails(404, "no model m"), r"--judge-model 'm' is not to be had at --judge-url .*no model m"),
        (DROP, r"--judge-url .* cannot be reached; APIConnectionError: Server disconnected"),
    ],
)
def test_what_every_question_would_meet_stops_the_build_at_once(
    reply: Reply, mistake: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(lambda _: reply) as server, pytest.raises(CallerError, match=mistake) as raised:
        answers(judge(server, attempts=1, concurrency=4), WORDS)
    assert len(server.requests) <= 8
    assert KEY not in str(raised.value) + caplog.text.replace(f"wrong key {KEY}", "")


def test_a_url_without_a_server_is_a_mistake() -> None:
    with serving(truth) as server:
        pass
    with pytest.raises(CallerError, match=r"--judge-url 'http://127.* cannot be reached; .*connection attempts failed"):
        answers(judge(server, attempts=1), WORDS)


def test_a_url_that_lacks_its_path_is_a_mistake() -> None:
    with serving(truth) as server, pytest.raises(CallerError, match=r"such as http://localhost:8000/v1; NotFoundError"):
        answers(judge(server, url=server.url.removesuffix("/v1")), WORDS)


def test_without_a_key_a_placeholder_is_sent_and_a_server_that_wants_one_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OODSCAN_TEST_KEY")
    with serving(truth) as server:
        assert len(answers(judge(server), WORDS[:3])) == 3
    assert {request.key for request in server.requests} == {"no-key"}
    wants = r"--judge-url .* wants the key in the environment variable OODSCAN_TEST_KEY \(401\)"
    with serving(lambda _: fails(401)) as server, pytest.raises(CallerError, match=wants):
        answers(judge(server), WORDS)


def test_a_key_that_cannot_be_sent_is_a_mistake_that_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OODSCAN_TEST_KEY", f"{KEY}\nX-Other: header")
    with serving(truth) as server, pytest.raises(CallerError, match="variable OODSCAN_TEST_KEY holds") as raised:
        judge(server)
    assert KEY not in str(raised.value)


def test_a_key_taken_back_midway_stops_the_build_after_handing_over_what_was_answered() -> None:
    with serving(of_bad(lambda _: fails(401))) as server:
        tables = judge(server, concurrency=1).answers([asked([*WORDS[:10], BAD, *WORDS[10:]])])
        assert next(tables)["answer"].null_count == 0
        with pytest.raises(CallerError, match="refuses the key"):
            next(tables)
    assert len(server.requests) == 11


def test_a_server_that_answers_nothing_any_more_is_given_up() -> None:
    def reply(request: Request) -> Reply:
        return truth(request) if "'aa'" in request.question else says("As a language model")

    with serving(reply) as server:
        tables = judge(server, concurrency=4).answers([asked(WORDS)])
        held = next(tables)
        with pytest.raises(CallerError, match=f"{GIVE_UP} questions in a row without an answer; neither yes nor no"):
            next(tables)
    assert GIVE_UP - 4 <= held.num_rows <= GIVE_UP and held["answer"].null_count == held.num_rows - 1
    assert len(server.requests) <= GIVE_UP + 8


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


@pytest.mark.parametrize(
    ("top", "probability"),
    [
        ({"yes": -0.001, "Yes": -7.0, "maybe": -9.0}, 1.0),
        ({"yes": 0.0}, 1.0),  # nothing is left for no
        ({"no": 0.0, "yes": -9999.0}, 0.0),
        ({"a": -0.1, "b": -3.0, "no": -5.0}, None),  # yes may be as likely as no
        ({"Sure": -0.1, "Of": -3.0}, None),
        ({"no": -9999.0, "yes": -9999.0}, None),
        ({}, None),
    ],
)
def test_a_probability_is_given_where_the_likeliest_tokens_tell(
    top: dict[str, float], probability: float | None
) -> None:
    tokens = [{"token": token, "logprob": logprob} for token, logprob in top.items()]
    assert probability_yes({"content": [{"token": "no", "top_logprobs": tokens}]}) == probability


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}, {"tokens": ["yes"]}, "none"])
def test_log_probabilities_in_another_form_are_none(logprobs: object) -> None:
    assert probability_yes(logprobs) is None


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
        for number in (1, 2):
            assert next(tables).num_rows >= 256
            assert drawn <= number * 264
        tables.close()  # type: ignore[attr-defined]
        assert len(server.requests) <= drawn + 1


def test_an_error_of_the_questions_comes_through_and_ends_the_requests() -> None:
    def broken() -> Iterator[pa.Table]:
        yield asked(WORDS[:5])
        raise OSError("the table of questions is gone")

    with serving(truth) as server, pytest.raises(OSError, match="is gone"):
        list(judge(server).answers(broken()))


def test_answers_of_another_server_or_of_other_parameters_are_of_another_model() -> None:
    def model(url: str, **extra_body: object) -> str:
        return HttpJudge(Http(url=url, model="org/m", extra_body=extra_body)).model

    assert model("https://Host.example/api/v1/") == "org/m@host.example/api/v1"
    assert model("http://host.example:8000/v1") == "org/m@host.example:8000/v1"
    assert model("http://h/v1", a=1, b=2) == model("http://h/v1", b=2, a=1) != model("http://h/v1", a=1)


def test_more_requests_at_once_than_the_client_has_connections_are_a_mistake() -> None:
    with serving(truth) as server, pytest.raises(CallerError, match="--judge-concurrency 1001 is more than 1000"):
        judge(server, concurrency=1001)


def test_without_the_client_the_mistake_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from pipelines.judges.http import HttpJudge; from pipelines.judges.config import Http\n"
        "HttpJudge(Http(url='http://localhost/v1', model='m'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "CallerError: --judge http needs the openai client: pip install 'oodscan[http]'" in run.stderr
