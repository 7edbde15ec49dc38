import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.verify.verify import verify
from tests.pipelines.verify.damage import read
from tests.pipelines.verify.made_scans import LEARNED, STATIC, make_scan

MUTANTS = 30
NOT_HELD = ("memory/verdicts", "memory/extra-negatives.parquet")
"""What nothing tells apart from the file of another shard, or from one without rows."""
HELD = {
    "scan.json": ("fingerprint", "identity"),
    "summary.json": ("records", "statuses", "quantiles", "below_zero", "bad_fraction", "within_error_budget"),
}
"""What of the JSON files is held against others."""


def flipped(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    changed[random.integers(len(changed))] ^= 1 << int(random.integers(8))
    return bytes(changed)


def cut(content: bytes, random: np.random.Generator) -> bytes:
    return content[: random.integers(len(content))]


def overwritten(content: bytes, random: np.random.Generator) -> bytes:
    start, count = int(random.integers(len(content))), int(random.integers(1, 30))
    return content[:start] + random.bytes(count) + content[start + count :]


def inserted(content: bytes, random: np.random.Generator) -> bytes:
    start = int(random.integers(len(content)))
    return content[:start] + random.bytes(3) + content[start:]


def says_the_same(path: Path, before: bytes) -> bool:
    """Whether a changed file holds what it held before: bytes that say nothing of the values may change."""
    if path.suffix == ".json":
        one, other = json.loads(before), json.loads(path.read_bytes())
        return all(one.get(name) == other.get(name) for name in HELD[path.name])
    changed = read(path)
    path.write_bytes(before)
    return changed.equals(read(path))


@pytest.mark.parametrize("methods", [STATIC, LEARNED])
@pytest.mark.parametrize("change", [flipped, cut, overwritten, inserted, None])
def test_whatever_bytes_change_verify_raises_nothing_and_finds_it(
    tmp_path: Path, methods: tuple[str, ...], change: Callable[[bytes, np.random.Generator], bytes] | None
) -> None:
    out, random = make_scan(tmp_path, methods), np.random.default_rng(0)
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != "_SUCCESS")
    for _ in range(MUTANTS):
        path = files[random.integers(len(files))]
        before, other = path.read_bytes(), files[random.integers(len(files))].read_bytes()
        if change is None and str(path.relative_to(out)).startswith(NOT_HELD):
            continue
        path.write_bytes(other if change is None else change(before, random))
        problems = verify(str(out), {}, tables=True).problems
        assert problems or says_the_same(path, before), path
        path.write_bytes(before)
    assert verify(str(out), {}, tables=True).problems == []
