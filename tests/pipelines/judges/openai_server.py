"""A small server that speaks the chat completions of OpenAI's API on loopback, and fails as it is told to."""

import base64
import contextlib
import itertools
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """`question`: its text; `pictures`: what the data URLs in it hold. `attempt`: from 1, of the same question."""

    question: str
    pictures: list[bytes]
    attempt: int
    body: dict[str, Any]
    key: str


@dataclass(frozen=True)
class Reply:
    """`content` as JSON, or as it is if it is bytes. Failures may be tried again at once."""

    status: int
    content: Any


DROP = Reply(0, b"")
"""The connection is closed without a word."""


def says(text: str | None, **probabilities: float) -> Reply:
    """A completion; the probabilities' logarithms come as the first token's likeliest."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    if probabilities:
        top = [{"token": token, "logprob": logprob} for token, logprob in probabilities.items()]
        choice["logprobs"] = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": top}]}
    return Reply(200, {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]})


def fails(status: int, message: str = "no") -> Reply:
    return Reply(status, {"error": {"message": message, "type": "error"}})


def held(reply: Reply, count: int) -> Callable[[Request], Reply]:
    """The same reply to all, but not before so many ask at once.

    A client that stops while it still opens connections leaves coroutines that nobody has awaited (anyio's), which the
    garbage collector warns of in whichever test it runs.
    """
    came, all_here = itertools.count(1), threading.Event()

    def answer(_: Request) -> Reply:
        if next(came) >= count:
            all_here.set()
        all_here.wait(60)
        return reply

    return answer


def asked_of(content: str | list[dict[str, Any]]) -> tuple[str, list[bytes]]:
    """The text and the pictures of a message."""
    if isinstance(content, str):
        return content, []
    urls = [part["image_url"]["url"].partition(",") for part in content if part["type"] == "image_url"]
    assert all(start == "data:image/jpeg;base64" for start, _, _ in urls)
    [text] = [part["text"] for part in content if part["type"] == "text"]
    return text, [base64.b64decode(rest, validate=True) for _, _, rest in urls]


@dataclass
class OpenAIServer:
    """What was asked, and of how much at a time."""

    reply: Callable[[Request], Reply]
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    at_once: int = 0
    most_at_once: int = 0
    attempts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, body: dict[str, Any], key: str) -> Reply:
        question, pictures = asked_of(body["messages"][-1]["content"])
        with self.lock:
            self.attempts[question] += 1
            request = Request(question, pictures, self.attempts[question], body, key)
            self.requests.append(request)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return self.reply(request)
        finally:
            with self.lock:
                self.at_once -= 1


@contextlib.contextmanager
def serving(reply: Callable[[Request], Reply]) -> Iterator[OpenAIServer]:
    """The server at its URL, until the end."""
    server = OpenAIServer(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                return self.send(fails(404))
            return self.send(server.answer(body, self.headers["Authorization"].removeprefix("Bearer ")))

        def send(self, reply: Reply) -> None:
            if reply is DROP:
                self.close_connection = True
                return self.connection.shutdown(socket.SHUT_RDWR)
            content = reply.content if isinstance(reply.content, bytes) else json.dumps(reply.content).encode()
            with contextlib.suppress(ConnectionError):  # the client may have gone
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Content-Type", "application/json")
                self.send_header("Retry-After-Ms", "1")
                self.end_headers()
                self.wfile.write(content)
            return None

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
