"""A judge behind any OpenAI-compatible endpoint: one chat completion a question, by the `openai` client.

The client retries what may pass (408, 409, 429, 5xx, connections, timeouts) with back-off. A question that fails even
so becomes a row with an error. A refused key, URL or model concerns every question, and stops the work.
"""

import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from pydantic import ValidationError

from pipelines.config.judges import Server
from pipelines.errors import CallerError, first_line
from pipelines.judges.completion import Choice, Completion, NoAnswerError, in_words, probability_yes, yes_or_no
from pipelines.judges.forms import TEXTS, Chat, Form, ImageForm, Row
from pipelines.judges.in_flight import as_they_come, event_loop
from pipelines.judges.rows import in_tables, one_by_one

MAX_TOKENS, MAX_OPEN_TOKENS = 4, 32
"""The longest answer: yes or no, which a tokenizer may spell with two tokens, and a few words."""
TOP_LOGPROBS = 5
"""Likeliest tokens asked for; every server that gives log-probabilities gives as many."""
QUOTED = 200
"""The most characters of a server's error that are kept."""
NO_VISION = re.compile(r"image|picture|vision|multi-?modal|mmproj|content.*\bstr(ing)?\b", re.I)
"""What servers say of a picture that their model cannot take, with one of the statuses `OF_THE_REQUEST`."""
OF_THE_REQUEST = (400, 404, 415, 422, 500, 501)
MAX_CONCURRENCY = 1000
"""The most connections that the client opens."""
NO_KEY = "no-key"


@dataclass(frozen=True)
class HttpJudge:
    """Asks a server.

    Raises CallerError if the client is missing, opens fewer connections, or the key cannot be sent.
    """

    config: Server
    form: Form = TEXTS

    def __post_init__(self) -> None:
        if importlib.util.find_spec("openai") is None:
            raise CallerError(f"{self.config.option} http needs the openai client: pip install 'oodscan[http]'")
        if self.config.concurrency > MAX_CONCURRENCY:
            raise CallerError(
                f"{self.config.option}-concurrency {self.config.concurrency} is more than {MAX_CONCURRENCY}"
            )
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
        """The version of the wording of its form of questions."""
        return self.form.prompt_version

    def answers(self, questions: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """See `Judge.answers`. `concurrency` questions are asked at a time, and no more than those are drawn ahead.

        Raises CallerError if the server refuses key, URL, model or pictures, or fails on too many in a row.
        """
        endpoint = _Endpoint(self.config, self.form, self._key())
        with event_loop(endpoint.client.close) as loop:
            asking = (endpoint.ask(row) for row in one_by_one(questions, self.form.columns))
            yield from in_tables(as_they_come(asking, loop, self.config.concurrency))

    def _key(self) -> str | None:
        """The key from the environment, None if there is none. Raises CallerError if no header can hold it."""
        key = os.environ.get(self.config.key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise CallerError(f"the environment variable {self.config.key_env} holds characters that no key has")
        return key or None


class _Endpoint:
    """A server that is asked, and what was learned of it: whether it answers, and gives log-probabilities."""

    def __init__(self, config: Server, form: Form, key: str | None) -> None:
        from openai import AsyncOpenAI

        self.config, self.form, self.key = config, form, key
        self.client = AsyncOpenAI(
            base_url=config.url, api_key=key or NO_KEY, max_retries=config.attempts - 1, timeout=config.timeout_s
        )
        self.gives_logprobs, self.has_answered, self.failures_in_a_row = True, False, 0

    async def ask(self, row: Row) -> dict[str, Any]:
        """A row of `ANSWERS` for one question. Raises CallerError if the next one would fare no better."""
        from openai import APIError

        question, is_open = row["question"], self.form.is_open(row)
        try:
            choice = await self._complete(self.form.chat(row), is_open)
            text = choice.message.content or ""
            answer = in_words(text) if is_open else yes_or_no(text)
        except (APIError, NoAnswerError) as error:
            self._check_hope(error)
            return {"question": question, "error": self._told(error)}
        self.has_answered, self.failures_in_a_row = True, 0
        probability = None if is_open else probability_yes(choice.logprobs)
        return {"question": question, "answer": answer, "probability_yes": probability}

    async def _complete(self, chat: Chat, is_open: bool) -> Choice:
        """The reply to a chat; unless it is open, with log-probabilities where the server does not refuse them."""
        from openai import BadRequestError, UnprocessableEntityError

        if is_open:
            return await self._request(chat, MAX_OPEN_TOKENS, {})
        if not self.gives_logprobs:
            return await self._request(chat, MAX_TOKENS, {})
        try:
            return await self._request(chat, MAX_TOKENS, {"logprobs": True, "top_logprobs": TOP_LOGPROBS})
        except (BadRequestError, UnprocessableEntityError):
            if self.gives_logprobs and self.has_answered:  # it has taken them before: it is the question
                raise
            choice = await self._request(chat, MAX_TOKENS, {})
            self.gives_logprobs = False
            return choice

    async def _request(self, chat: Chat, max_tokens: int, along: dict[str, Any]) -> Choice:
        response = await self.client.chat.completions.with_raw_response.create(
            model=self.config.model,
            messages=chat,  # pyright: ignore[reportArgumentType]
            temperature=0,
            max_tokens=max_tokens,
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
        status, told, option = getattr(error, "status_code", None), self._told(error), self.config.option
        url, model = f"{option}-url {self.config.url!r}", f"{option}-model {self.config.model!r}"
        if status == 401 or (status == 403 and not self.has_answered):
            verb, variable = "refuses" if self.key else "wants", self.config.key_env
            raise CallerError(f"{url} {verb} the key in the environment variable {variable} ({status})")
        if not self.has_answered:
            if isinstance(self.form, ImageForm) and status in OF_THE_REQUEST and self._names_vision(told):
                raise CallerError(f"{model} at {url} takes no pictures, a model with vision is needed; {told}")
            if status in (404, 405):
                raise CallerError(
                    f"{model} is not to be had at {url}, which is what comes before /chat/completions, such as "
                    f"http://localhost:8000/v1; {told}"
                )
            if isinstance(error, APIConnectionError):
                raise CallerError(f"{url} cannot be reached; {told}")
        if self.failures_in_a_row >= self.form.give_up:
            raise CallerError(f"{url}, {model}: {self.form.give_up} questions in a row without an answer; {told}")

    def _names_vision(self, told: str) -> bool:
        unnamed = re.sub(rf"(?<!\w){re.escape(self.config.model)}(?!\w)", "", told)  # a name may say vision as well
        return bool(NO_VISION.search(unnamed))

    def _told(self, error: Exception) -> str:
        """The client's error in one line, or its cause's if it has one, without the key."""
        text = f"{type(error).__name__}: " if not isinstance(error, NoAnswerError) else ""
        text += first_line(error.__cause__ or error)
        return (text.replace(self.key, "(key)") if self.key else text)[:QUOTED]
