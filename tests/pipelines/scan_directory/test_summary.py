import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.scan_directory.receipts import TIMES, receipt_of, receipts_table
from pipelines.scan_directory.sketch import RELATIVE_ERROR, Sketch, buckets_of
from pipelines.scan_directory.summary import QUANTILES, Clock, Tally


def receipts(scores: Sequence[float | None]) -> pa.Table:
    """The receipt of one shard of these scores."""
    statuses = ["unreadable-image" if score is None else "ok" for score in scores]
    columns = {"key": pa.array([""] * len(scores), pa.string()), "status": pa.array(statuses, pa.string())}
    rows = pa.table({**columns, "score_mcm": pa.array(scores, pa.float64())})
    return receipts_table([receipt_of("shard", rows, b"")])


def tallied(*parts: Sequence[float | None]) -> Tally:
    tally = Tally()
    for part in parts:
        tally.add(receipts(part))
    return tally


def test_records_are_counted_by_status() -> None:
    described = tallied([0.1, None, 0.3], [], [None, 0.5]).described()
    assert described["records"] == 5
    assert described["statuses"] == {"ok": 3, "unreadable-image": 2}
    assert described["bad_fraction"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("scores", "fraction"), [([], 0.0), ([0.1], 0.0), ([None], 1.0), ([0.1, None, 0.2, 0.3], 0.25)]
)
def test_the_bad_fraction_is_of_all_records(scores: list[float | None], fraction: float) -> None:
    assert tallied(scores).bad_fraction == fraction


def test_quantiles_are_those_of_all_scores() -> None:
    values = np.random.default_rng(0).normal(size=1001)
    found = tallied(*[[None, *part.tolist()] for part in np.array_split(values, 13)]).described()["quantiles"]
    assert list(found) == ["score_mcm"]
    assert list(found["score_mcm"]) == ["0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"]
    expected = np.quantile(values, QUANTILES, method="lower").tolist()
    assert list(found["score_mcm"].values()) == pytest.approx(expected, rel=RELATIVE_ERROR * 1.001)


values = st.floats(allow_nan=False, allow_infinity=False, width=64) | st.sampled_from([0.0, -0.0, 1.0, -1.0, 5e-324])


@given(st.lists(values, min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_is_within_the_relative_error_of_a_value_of_its_rank(scores: list[float], share: float) -> None:
    (found,) = sketched([scores]).quantiles([share])
    exact = sorted(scores)[int(np.floor(share * (len(scores) - 1)))]
    assert found == pytest.approx(exact, rel=RELATIVE_ERROR * 1.01, abs=1e-307)


@given(st.lists(st.lists(values, max_size=9), max_size=6), st.randoms())
def test_a_sketch_does_not_depend_on_parts_or_their_order(parts: list[list[float]], random) -> None:
    shuffled = random.sample(parts, len(parts))
    whole = sketched([list(itertools.chain.from_iterable(parts))])
    for one, other in zip(sketched(shuffled).counted(), whole.counted(), strict=True):
        np.testing.assert_array_equal(one, other)


def sketched(parts: list[list[float]]) -> Sketch:
    sketch = Sketch()
    for part in parts:
        sketch.add(*buckets_of(np.array(part, np.float64)))
    return sketch


def test_no_quantile_of_scores_of_at_most_one_is_above_one() -> None:
    assert max(sketched([[1.0, 1.0, 0.99999]]).quantiles([0, 0.5, 1])) <= 1


def test_a_method_without_any_score_has_no_quantiles() -> None:
    assert tallied([None, None]).described()["quantiles"] == {}


def test_scores_below_zero_are_counted() -> None:
    assert tallied([0.5, -0.1, None], [-3.0]).described()["below_zero"] == {"score_mcm": 2}
    assert tallied([0.5, 0.0]).described()["below_zero"] == {}


def timed(rows: int, ready: float, committed: float | None) -> pa.Table:
    """The receipt of a shard of so many rows, a second of work for each in all stages."""
    receipt = receipt_of("shard", pa.table({"status": ["ok"] * rows}), b"", {"ready": ready})
    seconds = {"read_s": 0.1, "decode_s": 0.3, "encode_s": 0.2, "score_s": 0.0, "write_s": 0.4}
    times = {name: None if committed is None else rows * seconds[name] for name in TIMES}
    return receipts_table([receipt | {"committed": committed, **times}])


LANES = {"read_s": 2, "decode_s": 2, "encode_s": 1, "score_s": 1, "write_s": 4}


def test_times_count_from_the_start_and_from_the_first_worker() -> None:
    clock = Clock(100.0, LANES)
    clock.add(timed(10, 110.0, 112.0))
    clock.add(timed(0, 111.0, 113.0))
    clock.add(timed(10, 111.0, 114.0))
    found = clock.described(120.0)
    assert (found["images"], found["wall_s"], found["start_up_s"]) == (20, 20.0, 10.0)
    assert (found["first_commit_after_worker_s"], found["steady_images_per_s"]) == (2.0, 2.0)
    assert found["stages"]["decode"] == {
        "busy_s": pytest.approx(6),
        "images_per_s": pytest.approx(20 / 3),
        "threads": 2,
    }
    assert found["stages"]["score"] == {"busy_s": 0.0, "images_per_s": None, "threads": 1}


@pytest.mark.parametrize(("decoders", "limited_by"), [(1, "decode"), (4, "encode")])
def test_more_threads_move_the_limit(decoders: int, limited_by: str) -> None:
    clock = Clock(0.0, {**LANES, "decode_s": decoders})
    clock.add(timed(10, 1.0, 2.0))
    assert clock.described(3.0)["limited_by"] == limited_by


@pytest.mark.parametrize("of", [timed(0, 1.0, 1.0), timed(9, 1.0, None)], ids=["no record", "an earlier run"])
def test_a_run_that_has_done_nothing_has_no_speed(of: pa.Table) -> None:
    clock = Clock(0.0, LANES)
    clock.add(of)
    assert clock.described(2.0) == {"images": 0}
