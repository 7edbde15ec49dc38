"""An S3 server of the tests that fails at random: moto's, behind a layer that spoils some of its answers."""

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

STALL_S = 1.0
Answer = Iterable[bytes]


@dataclass
class FailingS3:
    """Spoils a `share` of all answers, which may be set at any time; `spoiled` counts them by kind."""

    app: Callable[..., Answer]
    chance: random.Random
    share: float = 0.0
    url: str = ""
    spoiled: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
        """The answer to a request, as WSGI has it."""
        with self.lock:
            fails = self.chance.random() < self.share
            name = self.chance.choice(list(FAULTS)) if fails else ""
            self.spoiled.update([name] * fails)
        return FAULTS[name](self.app, environ, start_response) if fails else self.app(environ, start_response)


def slow_down(app: Callable[..., Answer], environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
    """As S3 answers those who ask too much."""
    return _refused("503 Slow Down", "SlowDown", start_response)


def error(app: Callable[..., Answer], environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
    """As S3 answers when it does not know better."""
    return _refused("500 Internal Server Error", "InternalError", start_response)


def reset(app: Callable[..., Answer], environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
    """The connection breaks off, and nothing was done."""
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


def lost(app: Callable[..., Answer], environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
    """What was asked for is done, and the answer never comes."""
    b"".join(app(environ, lambda *_: None))
    return reset(app, environ, start_response)


def cut(app: Callable[..., Answer], environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
    """The body breaks off."""
    whole = b"".join(app(environ, start_response))
    return [whole[: len(whole) // 2]]


def stalled(app: Callable[..., Answer], environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
    """The body comes to a halt, and breaks off later."""
    whole = b"".join(app(environ, start_response))
    yield whole[: len(whole) // 3]
    time.sleep(STALL_S)


FAULTS = {fault.__name__: fault for fault in (slow_down, error, reset, lost, cut, stalled)}


def _refused(status: str, code: str, start_response: Callable[..., Any]) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>by chance</Message></Error>".encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


class _QuietHandler(MotoRequestHandler):
    """Tells nobody of a connection that was reset on purpose."""

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None: ...

    def log(self, type: str, message: str, *args: Any) -> None: ...  # noqa: A002


@contextmanager
def failing_s3(seed: object) -> Iterator[FailingS3]:
    """The server, which does not fail before its `share` is set; any credentials will do."""
    failing = FailingS3(DomainDispatcherApplication(create_backend_app), random.Random(str(seed)))
    server = make_server("127.0.0.1", 0, failing, threaded=True, request_handler=_QuietHandler)
    failing.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield failing
    finally:
        server.shutdown()
