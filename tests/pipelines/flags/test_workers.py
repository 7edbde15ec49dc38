"""Flags of score tables, and the receipts that count them: by plain functions, on tables that are really committed."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.flags.workers import FlagShards, FlagSpec, with_flags
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.identity import Fingerprints
from pipelines.scan_directory.known import known_shards
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import TIMES, digest_of, receipts_table
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory
from tests.pipelines import made_scan

SHARDS = {"s0": ["a/0", "a/1", "b/2", "b/3"], "s1": ["b/0", "b/1"], "s2": []}
BAD = (1,)
TOOK = {"ready": 10.0, **{name: float(place) for place, name in enumerate(TIMES, 1)}}
PART = "scores/part-s0.parquet"


def scores(**columns: Any) -> pa.Table:
    metadata = {"oodscan.fingerprint": "f1"}
    return pa.table({name: pa.array(values, pa.float64()) for name, values in columns.items()}, metadata=metadata)


def test_what_scores_below_the_threshold_is_flagged_and_what_has_no_score_is_null() -> None:
    found = with_flags(scores(score_mcm=[0.1, 0.3, 0.5, None, float("nan")]), {"mcm": 0.3})
    assert found["is_ood_mcm"].to_pylist() == [True, False, False, None, None]


@given(st.lists(st.none() | st.floats(-2, 2)), st.floats(-2, 2))
def test_flags_are_those_of_one_image_after_the_other(values: list[float | None], cut: float) -> None:
    found = with_flags(scores(score_max_cos=values), {"max-cos": cut})["is_ood_max_cos"]
    assert found.type == pa.bool_()
    assert found.to_pylist() == [None if value is None else value < cut for value in values]


def test_flags_stand_behind_the_scores_in_the_order_of_the_thresholds() -> None:
    given = scores(index=[0], score_mcm=[0.5], score_max_cos=[0.5], anchor=[1])
    found = with_flags(given, {"max-cos": 0.6, "mcm": 0.4})
    assert found.column_names == ["index", "score_mcm", "score_max_cos", "is_ood_max_cos", "is_ood_mcm", "anchor"]


def test_a_table_says_by_which_thresholds_its_flags_were_made_and_keeps_what_it_said() -> None:
    metadata = with_flags(scores(score_mcm=[0.5]), {"mcm": 0.1 + 0.2}).schema.metadata
    assert metadata[b"oodscan.fingerprint"] == b"f1"
    assert json.loads(metadata[b"oodscan.thresholds"]) == {"mcm": 0.30000000000000004}


def test_flags_that_are_there_already_are_replaced() -> None:
    given = scores(score_mcm=[0.5], score_max_cos=[0.5], anchor=[1])
    before = with_flags(given, {"max-cos": 0.6, "mcm": 0.4})
    assert with_flags(before, {"mcm": 0.6}).equals(with_flags(given, {"mcm": 0.6}), check_metadata=True)
    assert with_flags(before, {}).equals(with_flags(given, {}), check_metadata=True)


def rows(shard: str, keys: Sequence[str]) -> pa.Table:
    """What an encoder makes of a shard, the score of its image i being i / 7, with a nearest negative label."""
    made = made_scan.rows(shard, list(keys), bad=BAD)
    labels = [None if row in BAD else ["flag", "hammer"][row % 2] for row in range(len(keys))]
    return made.add_column(5, "negative_label", pa.array(labels, pa.string()))


@pytest.fixture
def output(tmp_path: Path) -> Directory:
    return Directory(str(tmp_path))


def committed(output: Directory) -> pa.Table:
    """Commits the shards with their embeddings; returns their receipts."""
    committer = Committer(output, "f1")
    return receipts_table([committer.commit(shard, rows(shard, keys), TOOK) for shard, keys in SHARDS.items()])


def flagged(output: Directory, receipts: pa.Table, thresholds: Mapping[str, float], group_by: str = "folder") -> Tally:
    tally = Tally()
    for table in FlagShards(FlagSpec(output, "f1", thresholds, "mcm", group_by))(receipts):
        tally.add(table)
    return tally


def told(tally: Tally, *columns: str) -> list[dict[str, Any]]:
    return pa.concat_tables(tally.receipts).select(["shard", *columns]).to_pylist()


def tables(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "scores").iterdir()}


def test_every_table_gets_its_flags_in_place(output: Directory, tmp_path: Path) -> None:
    receipts = committed(output)
    before = pq.read_table(tmp_path / PART)
    flagged(output, receipts, {"mcm": 0.3})
    after = pq.read_table(tmp_path / PART)
    assert after["is_ood_mcm"].to_pylist() == [True, None, True, False]
    assert after.drop_columns("is_ood_mcm").equals(before)
    assert sorted(tables(tmp_path)) == [f"part-{shard}.parquet" for shard in SHARDS]


def test_a_table_that_has_these_flags_is_not_written_again(output: Directory, tmp_path: Path) -> None:
    receipts = committed(output)
    first = flagged(output, receipts, {"mcm": 0.3})
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "scores").iterdir()}
    again = flagged(output, receipts, {"mcm": 0.3})
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert pa.concat_tables(again.receipts).equals(pa.concat_tables(first.receipts))


def test_other_thresholds_make_the_tables_that_they_would_have_made_at_first(tmp_path: Path) -> None:
    found = {}
    for folder, steps in {"at once": [0.5], "later": [0.3, 0.5]}.items():
        output = Directory(str(tmp_path / folder))
        receipts = committed(output)
        for threshold in steps:
            flagged(output, receipts, {"mcm": threshold})
        found[folder] = tables(tmp_path / folder)
    assert found["at once"] == found["later"]


def test_receipts_count_flags_and_tell_of_the_files_as_they_are_now(output: Directory, tmp_path: Path) -> None:
    receipts = committed(output)
    tally = flagged(output, receipts, {"mcm": 0.3})
    assert tally.is_flagged
    assert tally.flagged == {"is_ood_mcm": 3}
    assert told(tally, "records", "flagged") == [
        {"shard": "s0", "records": 4, "flagged": [("is_ood_mcm", 2)]},
        {"shard": "s1", "records": 2, "flagged": [("is_ood_mcm", 1)]},
        {"shard": "s2", "records": 0, "flagged": [("is_ood_mcm", 0)]},
    ]
    for receipt in told(tally, "size", "digest"):
        content = (tmp_path / f"scores/part-{receipt['shard']}.parquet").read_bytes()
        assert (receipt["size"], receipt["digest"]) == (len(content), digest_of(content))


def test_what_flags_do_not_change_is_carried_over(output: Directory) -> None:
    receipts = committed(output)
    tally = flagged(output, receipts, {"mcm": 0.3})
    kept = ["shard", "records", "statuses", "embeddings_size", "embeddings_digest", "ready", "committed", *TIMES]
    assert pa.concat_tables(tally.receipts).select(kept).equals(receipts.select(kept))
    before = Tally()
    before.add(receipts)
    assert tally.described() == before.described()
    assert {row["kind"] for row in tally.choices().to_pylist()} == {"lowest", "highest", "spread", "flagged"}


def test_a_scan_whose_flags_its_manifest_tells_of_is_whole(output: Directory) -> None:
    receipts, manifest = committed(output), Manifest(output, "f1")
    manifest.replace(flagged(output, receipts, {"mcm": 0.3}))
    found = known_shards(output, Fingerprints.one("f1"), SHARDS, embeddings=True)
    assert found.tally.shards() == set(SHARDS)
    assert (found.tally.is_flagged, found.damaged) == (True, {})


def naive(by: str, values: Sequence[str | None]) -> Counter[tuple[str, str, str]]:
    """The counts by one value of all images, one after the other."""
    counts, each = Counter[tuple[str, str, str]](), iter(values)
    for keys in SHARDS.values():
        for row, _ in enumerate(keys):
            value, good = next(each), row not in BAD
            if value is None:
                continue
            counts[by, value, "images" if good else "errors"] += 1
            counts[by, value, "score"] += round(row / 7 * 1e6) * good
            counts[by, value, "is_ood_mcm"] += good and row / 7 < 0.3
    return counts


@pytest.mark.parametrize(
    ("group_by", "groups"), [("folder", ["a", "a", "b", "b", "b", "b"]), ("shard", [*["s0"] * 4, *["s1"] * 2])]
)
def test_images_are_counted_by_group_and_label_as_one_counts_them(
    output: Directory, group_by: str, groups: list[str]
) -> None:
    labels = ["flag", None, "flag", "hammer", "flag", None]
    expected = naive("group", groups) + naive("negative", labels)  # a sum of counters leaves out what is 0
    tally = flagged(output, committed(output), {"mcm": 0.3}, group_by)
    found = {(row["by"], row["value"], row["what"]): row["count"] for row in tally.breakdown().to_pylist()}
    assert found == expected


def test_without_a_threshold_there_are_no_flags_and_images_are_counted_all_the_same(output: Directory) -> None:
    tally = flagged(output, committed(output), {})
    assert (tally.is_flagged, tally.flagged) == (True, {})
    assert {row["kind"] for row in tally.choices().to_pylist()} == {"lowest", "highest", "spread"}
    counts = {(row["value"], row["what"]): row["count"] for row in tally.breakdown().to_pylist()}
    assert counts["b", "images"] == 3


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-9], "it cannot be read"),
        (lambda _: np.random.default_rng(0).bytes(99), "it cannot be read"),
    ],
    ids=["cut", "noise"],
)
def test_a_table_that_is_not_whole_is_named(output: Directory, damage: Any, said: str) -> None:
    receipts = committed(output)
    output.put(PART, damage(output.read(PART)))
    with pytest.raises(RuntimeError, match=f"^{PART}, which has just been committed, is not whole: {said}"):
        flagged(output, receipts, {"mcm": 0.3})


def test_a_table_of_another_scan_is_not_flagged(output: Directory) -> None:
    receipts = committed(output)
    before = output.read(PART)
    with pytest.raises(RuntimeError, match="it is of another scan"):
        list(FlagShards(FlagSpec(output, "f2", {"mcm": 0.3}, "mcm", "folder"))(receipts))
    assert output.read(PART) == before
