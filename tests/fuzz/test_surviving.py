import os
import random
import time
from collections.abc import Callable

import pytest

from tests.fuzz.surviving import MEMORY_BYTES, Check, survive

held: list[bytes] = []


def of_numbers(bad: Check) -> Check:
    """A check that one mutant in some twenty breaks, and none of those that a process begins with."""
    calls = [0]

    def check(chance: random.Random) -> None:
        calls[0] += 1
        if calls[0] > 20 and chance.random() < 0.05:
            bad(chance)

    return check


def raising() -> Check:
    return of_numbers(lambda _: held.remove(b""))


def hanging() -> Check:
    def hang(chance: random.Random) -> None:
        end = time.process_time() + 20
        while time.process_time() < end:
            pass

    return of_numbers(hang)


def greedy() -> Check:
    return of_numbers(lambda _: held.append(bytes(MEMORY_BYTES)))


def dying() -> Check:
    return of_numbers(lambda _: os.kill(os.getpid(), 11))


def harmless() -> Check:
    return of_numbers(lambda chance: held.append(chance.randbytes(100)))


@pytest.mark.parametrize(
    ("make", "said"),
    [(raising, "ValueError"), (hanging, r"took 2\.0 s"), (greedy, "MemoryError"), (dying, "exit code -11")],
)
def test_what_goes_wrong_is_told_with_the_number_of_the_mutant(make: Callable[[], Check], said: str) -> None:
    with pytest.raises(AssertionError, match=rf"FUZZ_SEED=\d+ FUZZ_NUMBER=\d+\): (.|\n)*{said}"):
        survive(make, 4000)


def test_mutants_that_do_no_harm_are_all_checked() -> None:
    survive(harmless, 4000)
