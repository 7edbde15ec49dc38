"""Runs coroutines from a plain generator: a bounded number at a time, results as they come."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, as_completed, wait
from typing import Any, TypeVar

Result = TypeVar("Result")


def as_they_come(
    asking: Iterable[Coroutine[Any, Any, Result]], loop: asyncio.AbstractEventLoop, at_once: int
) -> Iterator[Result]:
    """The results of coroutines, in the order in which they end. One is drawn when fewer than `at_once` run."""
    pending: set[Future[Result]] = set()
    for question in asking:
        pending.add(asyncio.run_coroutine_threadsafe(question, loop))
        if len(pending) >= at_once:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    yield from (future.result() for future in as_completed(pending))


@contextlib.contextmanager
def event_loop(close: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own, so that its coroutines go on whatever the caller does between results.

    At the end those that still run are cancelled, and `close` is awaited.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="in-flight", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_end(close), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(close: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Cancels every other coroutine of the loop, then awaits `close`."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await close()
