"""Runs a check on numbered mutants in processes of their own, each mutant within a limit of time and one of memory.

FUZZ_SEED chooses the mutants, FUZZ_TIMES multiplies them, and FUZZ_NUMBER leaves the one of that number.
"""

import multiprocessing
import os
import random
import resource
import signal
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import pytest

SEED = int(os.environ.get("FUZZ_SEED", "0"))
TIMES = float(os.environ.get("FUZZ_TIMES", "1"))
ONLY = os.environ.get("FUZZ_NUMBER")
CPU_S = 2.0
"""For a mutant: of the processor's time, so that a busy machine fails no test."""
MEMORY_BYTES = 256 * 2**20
"""Of addresses, beyond what a process takes for mutants that are harmless."""
WARM_UP = 20

PATIENCE = pytest.mark.timeout(900 * max(1, TIMES))
"""For a test of many mutants."""

Check = Callable[[random.Random], None]


def survive(make: Callable[[], Check], mutants: int) -> None:
    """Checks so many mutants, spread over a process for each CPU. Fails with the first that breaks the check, hangs,
    takes too much memory or kills its process. `make`, which processes import by its name, prepares what they share."""
    numbers = [int(ONLY)] if ONLY else range(round(mutants * TIMES))
    count = 1 if ONLY else os.cpu_count() or 1
    context: Any = multiprocessing.get_context("spawn")
    running = []
    for first in range(count):
        at, heard, told = context.Value("q", -1, lock=False), *context.Pipe(duplex=False)
        process = context.Process(target=_check_all, args=(make, numbers[first::count], at, told), daemon=True)
        process.start()
        told.close()  # this process's end: the pipe breaks off when the child dies
        running.append((process, at, heard))
    failures = [_failure(*one) for one in running]
    assert not any(failures), "\n".join(filter(None, failures))


def _check_all(make: Callable[[], Check], numbers: Iterable[int], at: "Synchronized[int]", told: Any) -> None:
    """Checks the mutants of these numbers; `at` follows their numbers, the first exception's text goes to `told`."""
    try:
        check = make()
        for number in range(-WARM_UP, 0):
            _check_one(check, number, at)
        most = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for number in numbers:
            _check_one(check, number, at)
        told.send("")
    except BaseException:
        told.send(traceback.format_exc())


def _check_one(check: Check, number: int, at: "Synchronized[int]") -> None:
    at.value = number
    signal.setitimer(signal.ITIMER_PROF, CPU_S)  # its signal ends the process
    check(random.Random(f"{SEED} {number}"))
    signal.setitimer(signal.ITIMER_PROF, 0)


def _failure(process: Any, at: "Synchronized[int]", heard: Any) -> str:
    """What went wrong in a process, and with which mutant; "" if nothing did."""
    try:
        found = heard.recv()
    except EOFError:
        process.join()
        hung = process.exitcode == -signal.SIGPROF
        found = f"took {CPU_S} s" if hung else f"killed its process: exit code {process.exitcode}"
    process.join()
    return found and f"mutant {at.value} of seed {SEED} (FUZZ_SEED={SEED} FUZZ_NUMBER={at.value}): {found}"
