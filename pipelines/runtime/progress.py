"""Saying how far long work has come."""

import time
from collections.abc import Callable

Say = Callable[[str], None]


def counting(say: Say, total: int, what: str, wait_s: float = 15.0) -> Callable[[int], None]:
    """Takes how many more are done, and now and then says how far it is."""
    begun = said = time.monotonic()
    done = 0

    def more(count: int) -> None:
        nonlocal said, done
        done, now = done + count, time.monotonic()
        if now - said >= wait_s:
            say(f"{done} of {total} {what}, {now - begun:.0f} s")
            said = now

    return more
