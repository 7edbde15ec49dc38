"""Damages to what a scan keeps and takes in of verdicts: each is named, and verify raises nothing."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.verify.verify import verify
from tests.pipelines.verify.damage import (
    Damage,
    a_folder,
    beside,
    cell,
    column,
    cut,
    empty,
    flipped,
    garbage,
    missing,
    nth,
    of_another_scan,
    taken,
    told,
    twice,
    without,
)
from tests.pipelines.verify.made_scans import FIRST, LEARNED, THIRD, TOLD, make_scan

SUMS, VOTES = "consensus/verdicts.parquet", "consensus/verdict-votes.parquet"
CHAIN = [f"consensus/with-verdicts-{step}.parquet" for step in range(4)]
KEPT = "verdicts/part-*.parquet"

NOT_MADE = ["{}: it is not what consensus/verdicts.parquet was made from"]
OTHERS = ["verdicts/ holds other verdicts than scores take in: oodscan verdicts SCAN"]
OTHER_SUMS = [
    f"{VOTES}: it is not what {SUMS} was made from",
    *(f"consensus/votes/part-{shard}.parquet is not what its scores were made from" for shard in (FIRST, THIRD)),
]
NOT_KEPT = ["verdicts/ is damaged: '/*{}'"]
UNREADABLE: dict[str, Damage] = {"empty": empty, "cut": cut, "garbage": garbage, "a folder in its place": a_folder}

Cases = dict[str, tuple[Damage, Sequence[str]]]
OF_SUMS: Cases = {
    "missing": (missing, ["{} is missing"]),
    "another weight": (column("weight", nth(0, lambda weight: weight + 100)), OTHER_SUMS),
    "huge weight": (cell("weight", 0, 2**62), OTHER_SUMS),
    "negative weight": (cell("weight", 0, -(2**40)), OTHER_SUMS),
    "another belief": (cell("belief", 0, 0), OTHER_SUMS),
    "by another": (cell("by", 0, "eve"), OTHER_SUMS),
    "by nobody": (cell("by", 0, None), OTHER_SUMS),
    "another number of verdicts": (told(count="9"), OTHER_SUMS[:1]),
    "no number of verdicts": (told(count="many"), ["{} cannot be checked: "]),
    "a number that is none": (told(count=str(10**30)), OTHER_SUMS[:1]),
    "of other verdicts": (told(verdicts="0" * 32), OTHERS),
    "of verdicts that are none": (told(verdicts=b"\xff"), ["{} cannot be checked: "]),
    "an anchor lost": (taken(0, 1, 2), ["{}: the anchors are not 0, 1, 2"]),
    "an anchor too many": (taken(0, 1, 2, 3, 3), ["{}: the anchors are not 0, 1, 2"]),
    "anchors swapped": (taken(1, 0, 2, 3), ["{}: the anchors are not 0, 1, 2"]),
    "a column lost": (without("by"), ["{}: there is no column 'by'"]),
    "a column twice": (twice("belief"), ["{}: there are 2 columns 'belief'"]),
    "texts that are none": (
        column("by", lambda values: pa.array([b"\xff"] * len(values)).view(pa.string())), ["{} cannot be read: "],
    ),
}  # fmt: skip
OF_VOTES: Cases = {
    "missing": (missing, ["{} is missing"]),
    "other anchors": (cell("anchors", 0, [0, 0]), NOT_MADE),
    "anchors beyond": (cell("anchors", 0, [7, 0]), ["{}: there are votes on anchors that there are not"]),
    "negative anchors": (cell("anchors", 0, [-1, 0]), ["{}: there are votes on anchors that there are not"]),
    "other weights": (cell("weights", 0, [0.5, 0.5]), NOT_MADE),
    "huge weights": (cell("weights", 0, [1e38, 1e38]), ["{} cannot be checked: "]),
    "weights that are NaN": (cell("weights", 0, [np.nan, 1]), ["{}: column 'weights' has numbers that are not fin"]),
    "as many numbers more": (
        column("anchors", lambda values: [[0, 1, 2]] * len(values), pa.list_(pa.int32(), 3)),
        ["{} cannot be checked: "],
    ),
    "another verdict": (cell("belongs", 0, 0.5), NOT_MADE),
    "a verdict beyond": (cell("belongs", 0, 7.0), ["{}: there are verdicts that are not from 0 to 1"]),
    "a verdict that is NaN": (cell("belongs", 0, np.nan), ["{}: column 'belongs' has numbers that are not finite"]),
    "no verdict": (cell("belongs", 0, None), ["{}: column 'belongs' has nulls"]),
    "by another": (cell("by", 0, "eve"), NOT_MADE),
    "a row lost": (taken(0, 1, 2), NOT_MADE),
    "a row twice": (taken(0, 1, 2, 3, 3), NOT_MADE),
    "no rows": (taken(), NOT_MADE),
    "another order": (taken(1, 0, 2, 3), NOT_MADE),
    "a column lost": (without("anchors"), ["{}: there is no column 'anchors'"]),
}
OF_KEPT: Cases = {
    "missing": (missing, OTHERS),
    "another verdict": (cell("belongs", 0, 0.5), OTHERS),
    "by another": (cell("by", 0, "eve"), OTHERS),
    "another embedding": (cell("embedding", 0, [1, 0, 0, 0]), OTHERS),
    "a row lost": (taken(0, 1, 2), OTHERS),
    "no rows": (taken(), OTHERS),
    "rows of its own in another order": (taken(3, 0, 2, 1), []),
    "a copy beside it": (beside("part-x.parquet"), []),
    "a verdict beyond": (cell("belongs", 0, 7.0), NOT_KEPT),
    "no verdict": (cell("belongs", 0, None), NOT_KEPT),
    "not of unit length": (cell("embedding", 0, [1, 1, 0, 0]), NOT_KEPT),
    "NaN": (cell("embedding", 0, [np.nan] * 4), NOT_KEPT),
    "another dimension": (
        column("embedding", lambda values: [[1, 0]] * len(values), pa.list_(pa.float16(), 2)), NOT_KEPT
    ),
    "no embeddings": (column("embedding", lambda values: pa.array(["x"] * len(values))), NOT_KEPT),
    "a column lost": (without("embedding"), NOT_KEPT),
    "a column twice": (twice("by"), NOT_KEPT),
}  # fmt: skip
OF_CHAIN: Cases = {
    "missing": (missing, ["{} is missing"]),
    "another sum": (column("value_0", nth(0, lambda value: value + 1)), ["{} is not what the votes come to"]),
    "huge sum": (cell("value_0", 0, 2**62), ["{}: there are sums that cannot be"]),
    "an anchor lost": (taken(0, 1, 2), ["{}: it is not of the consensus that was asked for"]),
    "anchors swapped": (taken(1, 0, 2, 3), ["{}: the anchors are not 0, 1, 2"]),
    "no totals": (told(totals="{}"), ["{} cannot be checked: "]),
    "sums beside them": (beside("with-verdicts-9.parquet"), ["consensus/with-verdicts-9.parquet is none of this"]),
    "a column lost": (without("value_0"), ["{}: there is no column 'value_0'"]),
}

CASES = [
    *((file, name, case) for file, cases in {
        SUMS: OF_SUMS, VOTES: OF_VOTES, KEPT: OF_KEPT, CHAIN[1]: OF_CHAIN, CHAIN[2]: OF_CHAIN
    }.items() for name, case in cases.items()),
    *((file, name, (damage, ["{} cannot be read: "])) for file in (SUMS, VOTES, *CHAIN)
      for name, damage in UNREADABLE.items()),
    *((file, "a bit flipped", (flipped, ["{} cannot be read: "])) for file in (SUMS, VOTES, *CHAIN[:3])),
    *((KEPT, name, (damage, OTHERS if damage is a_folder else NOT_KEPT)) for name, damage in UNREADABLE.items()),
    (KEPT, "a bit flipped", (flipped, NOT_KEPT)),
    *((file, "of another scan", (of_another_scan, ["{} carries the fingerprint of another scan"]))
      for file in (SUMS, VOTES, *CHAIN)),
]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scan(tmp_path_factory.mktemp("told"), TOLD)


def test_a_scan_with_verdicts_has_no_problems(whole: Path) -> None:
    assert verify(str(whole), {}, tables=True).problems == verify(str(whole), {}).problems == []


@pytest.mark.parametrize(("file", "case"), [pytest.param(f, c, id=f"{f} {name}") for f, name, c in CASES])
def test_every_damage_is_named_and_nothing_else(
    whole: Path, tmp_path: Path, file: str, case: tuple[Damage, Sequence[str]]
) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    (path,) = out.glob(file)
    damage, wanted = case
    damage(path)
    name = str(path.relative_to(out))
    problems = verify(str(out), {}, tables=True).problems
    begins = [one.replace("/*", f"{out}/").replace("{}", name).removesuffix("'") for one in wanted]
    assert len(problems) == len(begins) and all(map(str.startswith, problems, begins)), problems
    assert all("\n" not in problem for problem in problems)
    if damage in (missing, a_folder) and file != KEPT:
        assert verify(str(out), {}).problems == [f"{name} is missing"]


def test_what_is_kept_and_not_taken_in_is_named(whole: Path, tmp_path: Path) -> None:
    out = make_scan(tmp_path, LEARNED)
    shutil.copytree(whole / "verdicts", out / "verdicts")
    assert verify(str(out), {}, tables=True).problems == OTHERS


def test_without_all_that_verdicts_have_left_in_consensus_the_scan_is_not_whole(whole: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    for path in (out / SUMS, out / VOTES):
        path.unlink()
    assert OTHERS[0] in verify(str(out), {}, tables=True).problems
    assert verify(str(out), {}).problems


@pytest.mark.parametrize(("one", "other"), [(SUMS, VOTES), (VOTES, SUMS), (CHAIN[1], CHAIN[2]), (CHAIN[3], SUMS)])
def test_a_file_in_the_place_of_another_is_named(whole: Path, tmp_path: Path, one: str, other: str) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    shutil.copyfile(whole / other, out / one)
    assert any(one in problem for problem in verify(str(out), {}, tables=True).problems)


def test_whatever_bytes_change_verify_raises_nothing(whole: Path, tmp_path: Path) -> None:
    out, random = Path(shutil.copytree(whole, tmp_path / "out")), np.random.default_rng(0)
    for path in [out / SUMS, out / VOTES, *out.glob(KEPT), out / CHAIN[1]] * 3:
        before, changed = path.read_bytes(), bytearray(path.read_bytes())
        for place in random.integers(len(changed), size=3):
            changed[place] = random.integers(256)
        path.write_bytes(changed)
        verify(str(out), {}, tables=True)
        path.write_bytes(before)
