"""Saying how far long work has come."""

import time
from collections.abc import Callable

Say = Callable[[str], None]
"""Takes a line for the caller to read."""


def quiet(_line: str) -> None:
    """A `Say` that says nothing."""


def counting(say: Say, total: int, what: str, wait_s: float = 15.0) -> Callable[..., None]:
    """A function that is called with how many more of `total` are done, and at times says "3 of 7 shards, 12 s".

    It says so after the first, after the last, and in between no more often than every `wait_s` seconds. Its second
    argument, if any, is a remark that stands in the line: "3 of 7 shards, 120 images, 12 s".
    """
    begun, said, done = time.monotonic(), -wait_s, 0

    def more(count: int, remark: str = "") -> None:
        nonlocal said, done
        done, now = done + count, time.monotonic()
        if done == total or now - said >= wait_s:
            say(f"{done} of {total} {what}, {remark}{', ' if remark else ''}{now - begun:.0f} s")
            said = now

    return more
