import logging
import subprocess
import sys

import pytest

from pipelines.errors import CallerError
from pipelines.judges.forms import TEXTS
from tests.pipelines.judges.asking import BAD, KEY, WORDS, answers, asked, judge, of_bad, truth
from tests.pipelines.judges.openai_server import DROP, Reply, Request, fails, held, says, serving

GIVE_UP = TEXTS.give_up


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OODSCAN_TEST_KEY", KEY)


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
    caplog.set_level(logging.INFO)
    with serving(held(reply, 4)) as server, pytest.raises(CallerError, match=mistake) as raised:
        answers(judge(server, attempts=1, concurrency=4), WORDS)
    assert len(server.requests) == 4
    assert KEY not in str(raised.value) + caplog.text.replace(f"wrong key {KEY}", "")


def test_a_url_without_a_server_is_a_mistake() -> None:
    with serving(truth) as server:
        pass
    with pytest.raises(CallerError, match=r"--judge-url 'http://127.* cannot be reached; .*connection attempts failed"):
        answers(judge(server, attempts=1, concurrency=1), WORDS)


def test_a_url_that_lacks_its_path_is_a_mistake() -> None:
    with serving(truth) as server, pytest.raises(CallerError, match=r"such as http://localhost:8000/v1; NotFoundError"):
        answers(judge(server, url=server.url.removesuffix("/v1"), concurrency=1), WORDS)


def test_without_a_key_a_placeholder_is_sent_and_a_server_that_wants_one_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OODSCAN_TEST_KEY")
    with serving(truth) as server:
        assert len(answers(judge(server), WORDS[:3])) == 3
    assert {request.key for request in server.requests} == {"no-key"}
    wants = r"--judge-url .* wants the key in the environment variable OODSCAN_TEST_KEY \(401\)"
    with serving(lambda _: fails(401)) as server, pytest.raises(CallerError, match=wants):
        answers(judge(server, concurrency=1), WORDS)


def test_a_key_that_cannot_be_sent_is_a_mistake_that_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OODSCAN_TEST_KEY", f"{KEY}\nX-Other: header")
    with serving(truth) as server, pytest.raises(CallerError, match="variable OODSCAN_TEST_KEY holds") as raised:
        judge(server)
    assert KEY not in str(raised.value)


def test_a_key_taken_back_midway_stops_the_build_after_handing_over_what_was_answered() -> None:
    with serving(of_bad(lambda _: fails(401))) as server:
        tables, given = judge(server, concurrency=1).answers([asked([*WORDS[:10], BAD, *WORDS[10:]])]), []
        with pytest.raises(CallerError, match="refuses the key"):
            given.extend(answer for table in tables for answer in table["answer"].to_pylist())
    assert len(given) == 10 and None not in given
    assert len(server.requests) == 11


def test_a_server_that_answers_nothing_any_more_is_given_up() -> None:
    def reply(request: Request) -> Reply:
        return truth(request) if "'aa'" in request.question else says("As a language model")

    with serving(reply) as server:
        tables, given = judge(server, concurrency=4).answers([asked(WORDS)]), []
        with pytest.raises(CallerError, match=f"{GIVE_UP} questions in a row without an answer; neither yes nor no"):
            given.extend(answer for table in tables for answer in table["answer"].to_pylist())
    assert abs(len(given) - GIVE_UP) <= 4 and given.count(None) == len(given) - 1  # four at a time
    assert len(server.requests) <= GIVE_UP + 8


def test_more_requests_at_once_than_the_client_has_connections_are_a_mistake() -> None:
    with serving(truth) as server, pytest.raises(CallerError, match="--judge-concurrency 1001 is more than 1000"):
        judge(server, concurrency=1001)


def test_without_the_client_the_mistake_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from pipelines.judges.http import HttpJudge; from pipelines.config.judges import Http\n"
        "HttpJudge(Http(url='http://localhost/v1', model='m'))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "CallerError: --judge http needs the openai client: pip install 'oodscan[http]'" in run.stderr
