"""The exceptions and exit codes by which commands say how they failed; nothing here depends on anything else."""

CRASH, CALLER_MISTAKE, BUDGET_EXCEEDED, VERIFICATION_FAILED = 1, 2, 3, 4


class CallerError(Exception):
    """The caller's mistake, found before any work: names the option, the value and what would do."""


class ReadError(Exception):
    """A file that was there when the scan was planned cannot be read now, after every retry."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type's name if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
