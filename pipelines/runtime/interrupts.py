"""SIGINT and SIGTERM as exceptions, so that whatever is open is closed and a line is said before the process ends."""

import io
import os
import signal
import sys
from typing import NoReturn

from pipelines.errors import INTERRUPTED, TERMINATED, Terminated

CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}


def raise_on_signals() -> None:
    """Has SIGINT raise KeyboardInterrupt and SIGTERM Terminated, in the main thread, where this must be called.

    Whoever sends a second signal does not want to wait: it ends the process at once.
    """
    for number in CODES:
        signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: object) -> NoReturn:
    for other in CODES:
        signal.signal(other, _end)
    sys.stdout = io.StringIO()  # Ray tells there of every task that it takes down now
    raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


def _end(number: int, _frame: object) -> NoReturn:
    os._exit(CODES[signal.Signals(number)])
