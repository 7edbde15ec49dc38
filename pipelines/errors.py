"""The exceptions and exit codes by which commands say how they failed; nothing here depends on anything else."""

CRASH, CALLER_MISTAKE, BUDGET_EXCEEDED, VERIFICATION_FAILED = 1, 2, 3, 4
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


def cause_of(error: BaseException, *kinds: type[BaseException]) -> BaseException | None:
    """The exception of one of the kinds that an error is or came of, wherever it was raised; None if there is none."""
    seen: list[BaseException] = []
    todo: list[BaseException | None] = [error]
    while todo:
        found = todo.pop()
        if isinstance(found, kinds) and not isinstance(getattr(found, "cause", None), kinds):
            return found
        if found is not None and found not in seen:
            seen.append(found)
            todo += [found.__context__, found.__cause__, getattr(found, "cause", None)]  # the last is Ray's own
    return None


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type's name if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
