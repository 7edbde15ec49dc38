"""A scan whose methods learn, killed again and again in every step and between them, ends with the bytes of one that
was left alone. OODSCAN_KILLS says how often."""

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.verify.verify import verify
from tests.faults.remembering import SHARDS, command, poll, remembered_files

KILLS = int(os.environ.get("OODSCAN_KILLS", "3"))
ENCODED, BETWEEN, SCORED = "encoded/part-*", "memory/snapshot-*", "scored/part-*"
VOTES, SCORES = "consensus/votes/part-*", "scores/part-*"
KINDS = (ENCODED, BETWEEN, SCORED, VOTES, SCORES)
"""In the order in which they come."""


@dataclass(frozen=True)
class Moment:
    """Some time after so many files of the kind are there, at least one of them a new one if there are to be more."""

    kind: str
    files: int
    delay_s: float = 0.0


def moments(kills: int) -> list[Moment]:
    """As many of each kind, as far as that goes, in the order in which they come. Starting again takes a few seconds,
    so that some of those between the steps are before the scan has found what it has learned."""
    chance, found = random.Random(1), []
    for number, kind in enumerate((ENCODED, BETWEEN, VOTES, SCORES, SCORED)):
        times = len(range(number, kills, 5))
        if kind == BETWEEN:
            found += [Moment(kind, 1, chance.uniform(0, 12 if again else 2)) for again in range(times)]
        else:
            some = sorted(chance.sample(range(1, SHARDS - 8), times))
            found += [Moment(kind, files, chance.uniform(0, 0.2) if kind == ENCODED else 0) for files in some]
    return sorted(found, key=lambda moment: KINDS.index(moment.kind))


def files(output: Path, kind: str) -> int:
    return len(list(output.glob(kind)))


def killed(asked: list[str], output: Path, moment: Moment) -> str:
    """Starts the scan, and kills it at the moment. In which part of it that was."""
    least = max(moment.files, files(output, moment.kind) + (moment.kind != BETWEEN))
    with (output.parent / "said").open("w") as said:
        process = subprocess.Popen(asked, stdout=said, stderr=said)
    try:
        poll(lambda: files(output, moment.kind) >= least or process.poll() is not None)
        end = time.monotonic() + moment.delay_s
        poll(lambda: time.monotonic() >= end or (moment.kind == BETWEEN and files(output, SCORED)))
        assert process.poll() is None, (output.parent / "said").read_text()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return next((kind for kind in reversed(KINDS) if files(output, kind)), ENCODED)


@pytest.mark.timeout(150 * (KILLS + 1))
def test_a_scan_killed_again_and_again_ends_with_the_bytes_of_one_left_alone(
    remembered: Path, dataset: Path, bank_directory: Path, tmp_path: Path
) -> None:
    output, expected = tmp_path / "scan", remembered_files(remembered)
    asked = command(dataset, bank_directory, output, "--encode-workers", 1)
    seen = []
    for moment in moments(KILLS):
        seen.append(killed(asked, output, moment))
        assert remembered_files(output).items() <= expected.items()
        assert not (output / "_SUCCESS").exists()
    assert {moment.kind for moment in moments(KILLS)} <= set(seen)
    subprocess.run(asked, check=True, capture_output=True, timeout=280)
    assert remembered_files(output) == expected
    assert not (output / "encoded").exists()
    assert not (output / "scored").exists()
    assert verify(str(output), {}, tables=True).problems == []
