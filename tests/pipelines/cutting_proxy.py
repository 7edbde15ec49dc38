"""A proxy between a client and an HTTP server that cuts connections in the middle of an answer."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

PIECE_BYTES = 4096


@dataclass
class CuttingProxy:
    """Cuts the first answer longer than `after_bytes`, and every `every`-th such after it, when so much went by."""

    target: tuple[str, int]
    every: int
    after_bytes: int
    answers: int = 0
    cuts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, client: socket.socket) -> None:
        """Requests go on as they come, each answer is counted by the request before it."""
        with client, socket.create_connection(self.target) as server:
            passed = _Passed()
            threading.Thread(target=self._requests, args=(client, server, passed), daemon=True).start()
            with contextlib.suppress(OSError):
                while piece := server.recv(PIECE_BYTES):
                    passed.bytes += len(piece)
                    if passed.bytes > self.after_bytes and not passed.judged:
                        passed.judged = True
                        if self._cut():
                            client.sendall(piece[: len(piece) // 2])
                            break
                    client.sendall(piece)
                client.shutdown(socket.SHUT_RDWR)  # closing alone would wait for the other thread

    def _cut(self) -> bool:
        with self.lock:
            self.answers += 1
            cut = self.answers % self.every == 1
            self.cuts += cut
            return cut

    def _requests(self, client: socket.socket, server: socket.socket, passed: "_Passed") -> None:
        with contextlib.suppress(OSError):
            while piece := client.recv(PIECE_BYTES):
                passed.bytes, passed.judged = 0, False
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)


@dataclass
class _Passed:
    """How much of the present answer went through, and whether it was decided to let it."""

    bytes: int = 0
    judged: bool = False


@contextlib.contextmanager
def cutting(target: tuple[str, int], every: int, after_bytes: int) -> Iterator[tuple[CuttingProxy, str]]:
    """The proxy and its URL."""
    proxy = CuttingProxy(target, every, after_bytes)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, proxy), daemon=True).start()
        yield proxy, f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, proxy: CuttingProxy) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=proxy.serve, args=(client,), daemon=True).start()
