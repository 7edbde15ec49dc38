"""Questions for a small server, and the judge that asks them."""

from collections.abc import Callable

import pyarrow as pa

from ood_core.negfilter.questions import ANSWERS, questions
from pipelines.config.judges import Http
from pipelines.judges.http import HttpJudge
from pipelines.judges.judge import Judge
from tests.pipelines.judges.openai_server import OpenAIServer, Reply, Request, says

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
