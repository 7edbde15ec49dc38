"""The exceptions and exit codes by which commands say how they failed; nothing here depends on anything else."""

from typing import TypeVar

CRASH, CALLER_MISTAKE, BUDGET_EXCEEDED, VERIFICATION_FAILED, DRIFT = 1, 2, 3, 4, 5
INTERRUPTED, TERMINATED = 130, 143
"""128 and the number of the signal, as shells have it: SIGINT, SIGTERM."""


class Terminated(KeyboardInterrupt):
    """The process was sent SIGTERM, as by `ray job stop` or Kubernetes."""


class CallerError(Exception):
    """The caller's mistake, found before any work: names the option, the value and what would do."""


class ReadError(Exception):
    """A file that was there when the scan was planned cannot be read now, after every retry."""


class WriteError(Exception):
    """A file cannot be written where the caller wants it, such as on a full disk."""


Kind = TypeVar("Kind", bound=BaseException)


def cause_of(error: BaseException, kind: type[Kind]) -> Kind | None:
    """The exception of a kind that an error is or came of, wherever it was raised; None if there is none."""
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if isinstance(found, kind) and not isinstance(getattr(found, "cause", None), kind):
            return found
        if found is not None and found not in seen:
            seen.append(found)
            todo += [found.__context__, found.__cause__, getattr(found, "cause", None)]  # the last is Ray's own
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type's name if it has none."""
    said = str(error).strip()
    return said.splitlines()[0] if said not in ("", "None") else type(error).__name__
