"""A judge behind any OpenAI-compatible endpoint: one chat completion a question, by the `openai` client.

The client retries what may pass (408, 409, 429, 5xx, connections, timeouts) with back-off. A question that fails even
so becomes a row with an error. A refused key, URL or model concerns every question, and stops the build.
"""

import hashlib
import importlib.util
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pydantic import ValidationError

from ood_core.negfilter.questions import ANSWERS, PROMPT_VERSION, SYSTEM, prompt
from pipelines.config.judges import Http
from pipelines.errors import CallerError, first_line
from pipelines.judges.completion import Choice, Completion, NoAnswerError, probability_yes, yes_or_no
from pipelines.judges.in_flight import as_they_come, event_loop

TABLE_ROWS, TABLE_SECONDS = 256, 5.0
"""A table of answers is passed on once it has so many rows, or after so long."""
MAX_TOKENS = 4
"""The longest answer; a tokenizer may spell `no` with two tokens."""
TOP_LOGPROBS = 5
"""Likeliest tokens asked for; every server that gives log-probabilities gives as many."""
QUOTED = 200
"""The most characters of a server's error that are kept."""
GIVE_UP = 100
"""After so many questions in a row without an answer it is the server that fails, not the questions."""
MAX_CONCURRENCY = 1000
"""The most connections that the client opens."""
NO_KEY = "no-key"

Row = dict[str, Any]


@dataclass(frozen=True)
class HttpJudge:
    """Asks a server.

    Raises CallerError if the client is missing, opens fewer connections, or the key cannot be sent.
    """

    config: Http

    def __post_init__(self) -> None:
        if importlib.util.find_spec("openai") is None:
            raise CallerError("--judge http needs the openai client: pip install 'oodscan[http]'")
        if self.config.concurrency > MAX_CONCURRENCY:
            raise CallerError(f"--judge-concurrency {self.config.concurrency} is more than {MAX_CONCURRENCY}")
        self._key()

    @property
    def model(self) -> str:
        """`<model>@<server and path>`, since a name may stand for other weights on another server.

        With an `extra_body`, which can change the answers as well, its digest follows.
        """
        parts, along = urlsplit(self.config.url), json.dumps(self.config.extra_body, sort_keys=True)
        digest = f"+{hashlib.sha256(along.encode()).hexdigest()[:8]}" if self.config.extra_body else ""
        return f"{self.config.model}@{parts.netloc.lower()}{parts.path.rstrip('/')}{digest}"

    @property
    def prompt_version(self) -> str:
        """The version of NegRefine's prompts."""
        return PROMPT_VERSION

    def answers(self, questions: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """See `Judge.answers`. `concurrency` questions are asked at a time, and no more than those are drawn ahead.

        Raises CallerError if the server refuses key, URL or model, or fails on `GIVE_UP` questions in a row.
        """
        endpoint = _Endpoint(self.config, self._key())
        with event_loop(endpoint.client.close) as loop:
            asking = (endpoint.ask(**row) for row in _rows(questions))
            yield from _tables(as_they_come(asking, loop, self.config.concurrency))

    def _key(self) -> str | None:
        """The key from the environment, None if there is none. Raises CallerError if no header can hold it."""
        key = os.environ.get(self.config.key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise CallerError(f"the environment variable {self.config.key_env} holds characters that no key has")
        return key or None


class _Endpoint:
    """A server during one build, and what was learned of it: whether it answers, and gives log-probabilities."""

    def __init__(self, config: Http, key: str | None) -> None:
        from openai import AsyncOpenAI

        self.config, self.key = config, key
        self.client = AsyncOpenAI(
            base_url=config.url, api_key=key or NO_KEY, max_retries=config.attempts - 1, timeout=config.timeout_s
        )
        self.gives_logprobs, self.has_answered, self.failures_in_a_row = True, False, 0

    async def ask(self, question: int, negative: str, id_label: str | None) -> Row:
        """A row of `ANSWERS` for one question. Raises CallerError if the next one would fare no better."""
        from openai import APIError

        try:
            choice = await self._complete(prompt(negative, id_label))
            answer = yes_or_no(choice.message.content or "")
        except (APIError, NoAnswerError) as error:
            self._check_hope(error)
            return {"question": question, "error": self._told(error)}
        self.has_answered, self.failures_in_a_row = True, 0
        return {"question": question, "answer": answer, "probability_yes": probability_yes(choice.logprobs)}

    async def _complete(self, text: str) -> Choice:
        """The reply to a prompt, with log-probabilities unless the server refuses to give them."""
        from openai import BadRequestError, UnprocessableEntityError

        if not self.gives_logprobs:
            return await self._request(text, {})
        try:
            return await self._request(text, {"logprobs": True, "top_logprobs": TOP_LOGPROBS})
        except (BadRequestError, UnprocessableEntityError):
            if self.gives_logprobs and self.has_answered:  # it has taken them before: it is the question
                raise
            choice = await self._request(text, {})
            self.gives_logprobs = False
            return choice

    async def _request(self, text: str, along: dict[str, Any]) -> Choice:
        response = await self.client.chat.completions.with_raw_response.create(
            model=self.config.model,
            messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
            temperature=0,
            max_tokens=MAX_TOKENS,
            extra_body={**along, **self.config.extra_body},
        )
        try:
            return Completion.model_validate_json(response.text).choices[0]
        except ValidationError:
            raise NoAnswerError(f"no chat completion, but {response.text!r}") from None

    def _check_hope(self, error: Exception) -> None:
        """Raises CallerError if the next question would fare no better."""
        from openai import APIConnectionError

        self.failures_in_a_row += 1
        status, url = getattr(error, "status_code", None), self.config.url
        if status == 401 or (status == 403 and not self.has_answered):
            verb, variable = "refuses" if self.key else "wants", self.config.key_env
            raise CallerError(f"--judge-url {url!r} {verb} the key in the environment variable {variable} ({status})")
        if status in (404, 405) and not self.has_answered:
            raise CallerError(
                f"--judge-model {self.config.model!r} is not to be had at --judge-url {url!r}, which is what comes "
                f"before /chat/completions, such as http://localhost:8000/v1; {self._told(error)}"
            )
        if isinstance(error, APIConnectionError) and not self.has_answered:
            raise CallerError(f"--judge-url {url!r} cannot be reached; {self._told(error)}")
        if self.failures_in_a_row >= GIVE_UP:
            raise CallerError(
                f"--judge-url {url!r}, --judge-model {self.config.model!r}: {GIVE_UP} questions in a row "
                f"without an answer; {self._told(error)}"
            )

    def _told(self, error: Exception) -> str:
        """The client's error in one line, or its cause's if it has one, without the key."""
        text = f"{type(error).__name__}: " if not isinstance(error, NoAnswerError) else ""
        text += first_line(error.__cause__ or error)
        return (text.replace(self.key, "(key)") if self.key else text)[:QUOTED]


def _rows(questions: Iterable[pa.Table]) -> Iterator[Row]:
    """The questions one by one, as arguments of `_Endpoint.ask`."""
    for table in questions:
        for batch in table.select(["question", "negative", "id_label"]).to_batches(max_chunksize=TABLE_ROWS):
            yield from batch.to_pylist()


def _tables(rows: Iterable[Row]) -> Iterator[pa.Table]:
    """Answers gathered into tables; those that came before a CallerError are passed on as well."""
    held: list[Row] = []
    since = time.monotonic()
    try:
        for row in rows:
            held.append(row)
            if len(held) >= TABLE_ROWS or time.monotonic() - since >= TABLE_SECONDS:
                yield pa.Table.from_pylist(held, schema=ANSWERS)
                held, since = [], time.monotonic()
    except CallerError:
        if held:
            yield pa.Table.from_pylist(held, schema=ANSWERS)
        raise
    if held:
        yield pa.Table.from_pylist(held, schema=ANSWERS)
