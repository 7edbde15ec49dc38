"""What a tar reader has to withstand, by numbers of mutants; `surviving.py` says how to make one again."""

import io
import random
from collections import Counter
from dataclasses import dataclass, replace

import pytest

from pipelines.inputs.readers.record import Record
from pipelines.inputs.readers.tar import read_tar
from tests.fuzz.archives import BLOCK, WRITERS, Write, found_by_tarfile, headers, seal, unended
from tests.fuzz.mutations import ANYWHERE, MAGIC, Mutate, first_difference, mutant, write
from tests.fuzz.surviving import PATIENCE, SEED, Check, survive
from tests.pipelines.inputs.placeless import placeless

pytestmark = PATIENCE
MAX_BYTES = 10**6
VALID = 60
"""Archives of each writer."""
MUTANTS = 150_000
BASES = 8
"""Archives of each writer of which mutants are made."""
FIELDS = ((0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (148, 8), (156, 1), (157, 100), (257, 8),
          (265, 32), (297, 32), (329, 8), (337, 8), (345, 155), (386, 24), (482, 1), (483, 12))  # fmt: skip
"""Where each field of a header begins, and how long it is; the last three are of the old GNU format."""
TYPES = b"\0" + b"01234567" + b"DKLMNSVXgx\xff"
TELLING = {"flip", "cut", "zeros", "insert", "swap", "magic", "field"}
"""What cannot make a valid archive of fewer members, as a header twice over can, or one whose checksum is mended."""


@dataclass(frozen=True)
class Base:
    """A valid archive: its records, by which byte each has ended, and how many members are no directories."""

    content: bytes
    records: list[Record]
    ends: list[int]
    members: int

    @classmethod
    def of(cls, content: bytes) -> "Base":
        records, passed_over = read(content)
        return cls(content, records, found_by_tarfile(content)[1], len(records) + passed_over)


def read(content: bytes) -> tuple[list[Record], int]:
    """The records of a tar, and how many members were passed over."""
    passed_over: Counter[str] = Counter()
    records = list(read_tar(io.BytesIO(content), len(content), MAX_BYTES, passed_over=passed_over))
    return records, passed_over.total()


@pytest.mark.parametrize("writer", WRITERS)
def test_an_archive_of_any_writer_is_read_as_tarfile_reads_it(writer: str) -> None:
    for number in range(VALID):
        content = WRITERS[writer](random.Random(f"{SEED} {writer} {number}"))
        records = [replace(record, error=None) for record in placeless(read(content)[0])]
        assert records == found_by_tarfile(content)[0], f"FUZZ_SEED={SEED}, archive {number}"


@pytest.mark.parametrize("writer", WRITERS)
def test_archives_that_follow_their_ends_are_all_read_and_the_zeros_between_are_told_of(writer: str) -> None:
    for number in range(VALID // 10):
        one, other = (WRITERS[writer](random.Random(f"{SEED} {writer} {number} {part}")) for part in range(2))
        records = placeless(read(one + other)[0])
        kept = [replace(record, error=None) for record in records if record.status != "damaged-archive"]
        assert kept == found_by_tarfile(one)[0] + found_by_tarfile(other)[0], f"FUZZ_SEED={SEED}, archive {number}"
        assert len(records) == len(kept) + 1


def field(content: bytearray, chance: random.Random) -> None:
    """The end of what a number can be, another type, or noise, in a field of a header."""
    starts = headers(content)
    if starts:
        _change_field(content, chance.choice(starts), chance)


def sealed_field(content: bytearray, chance: random.Random) -> None:
    """The same, with the checksum made right again."""
    starts = headers(content)
    if starts:
        start = chance.choice(starts)
        _change_field(content, start, chance)
        seal(content, start)


def _change_field(content: bytearray, start: int, chance: random.Random) -> None:
    offset, length = chance.choice(FIELDS)
    value = chance.choice(
        [*MAGIC, bytes([chance.choice(TYPES)]), chance.randbytes(length), b"%o" % chance.getrandbits(16)]
    )
    write(content, start + offset, value[:length])


WAYS: dict[str, Mutate] = {**ANYWHERE, "field": field, "sealed_field": sealed_field}


def make_check() -> Check:
    bases = [Base.of(_written(writer, number)) for writer in WRITERS.values() for number in range(BASES)]

    def check(chance: random.Random) -> None:
        base = chance.choice(bases)
        content, used = mutant(base.content, WAYS, chance)
        records, passed_over = read(content)
        assert (records, passed_over) == read(content), "it is read otherwise the second time"
        intact = sum(end <= first_difference(content, base.content) for end in base.ends)
        assert records[:intact] == base.records[:intact], "a member before the damage is read otherwise"
        told = any(record.status.endswith("-archive") for record in records)
        if used <= TELLING and not told and not ends_early(content, base.content):
            assert len(records) + passed_over >= base.members, f"members are lost in silence: {used}"

    return check


def _written(writer: Write, number: int) -> bytes:
    """Without most of the zeros that fill its last record, which a mutant would mostly be made in."""
    return unended(writer(random.Random(f"base {number}"))) + bytes(2 * BLOCK)


def ends_early(content: bytes, whole: bytes) -> bool:
    """Whether the zeros at the end are more than they were, and could be an archive's own end."""
    return len(content.rstrip(b"\0")) < len(whole.rstrip(b"\0"))


def test_no_mutant_of_an_archive_raises_hangs_or_loses_a_member_in_silence() -> None:
    survive(make_check, MUTANTS)
