from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from pipelines.scan_directory import summary
from pipelines.scan_directory.summary import QUANTILES, Clock, Tally


def table(scores: Sequence[float | None]) -> pa.Table:
    statuses = ["unreadable-image" if score is None else "ok" for score in scores]
    return pa.table({"status": pa.array(statuses, pa.string()), "score_mcm": pa.array(scores, pa.float64())})


def tallied(*parts: Sequence[float | None]) -> Tally:
    tally = Tally()
    for part in parts:
        tally.add(table(part))
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


def test_quantiles_are_exact_below_the_limit() -> None:
    values = np.random.default_rng(0).normal(size=1001)
    found = tallied(*[[None, *part.tolist()] for part in np.array_split(values, 13)]).described()["quantiles"]
    assert list(found) == ["score_mcm"]
    assert list(found["score_mcm"]) == ["0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"]
    assert list(found["score_mcm"].values()) == pytest.approx(np.quantile(values, QUANTILES).tolist(), abs=0)


def test_a_method_without_any_score_has_no_quantiles() -> None:
    assert tallied([None, None]).described()["quantiles"] == {}


def test_scores_below_zero_are_counted() -> None:
    assert tallied([0.5, -0.1, None], [-3.0]).described()["below_zero"] == {"score_mcm": 2}
    assert tallied([0.5, 0.0]).described()["below_zero"] == {}


@pytest.mark.parametrize("rows_per_shard", [1, 7, 1000])
def test_above_the_limit_every_nth_score_is_kept_whatever_the_shards(
    monkeypatch: pytest.MonkeyPatch, rows_per_shard: int
) -> None:
    monkeypatch.setattr(summary, "MOST_SCORES", 100)
    values = [float(number) for number in range(1000)]
    tally = tallied(*[values[start : start + rows_per_shard] for start in range(0, 1000, rows_per_shard)])
    assert tally.scores["score_mcm"].tolist() == values[::16]
    assert tally.records == 1000


def timed(rows: int, ready: float) -> pa.Table:
    columns = {"read_s": 0.1, "decode_s": 0.3, "encode_s": 0.2, "score_s": 0.0, "encoder_ready": ready}
    return pa.table({name: np.full(rows, value) for name, value in columns.items()})


WORKERS = {"decode": 2, "encode": 1}
POOLS = {"decode": ("read_s", "decode_s"), "encode": ("encode_s", "score_s")}


def test_times_count_from_the_start_and_from_the_first_encoder() -> None:
    clock = Clock(100.0, POOLS)
    clock.add(timed(10, 110.0), now=112.0)
    clock.add(timed(0, 0.0), now=113.0)
    clock.add(timed(10, 111.0), now=114.0)
    found = clock.described(120.0, WORKERS)
    assert (found["images"], found["wall_s"], found["start_up_s"]) == (20, 20.0, 10.0)
    assert (found["first_commit_after_encoder_s"], found["steady_images_per_s"]) == (2.0, 2.0)
    assert found["stages"]["decode"] == {
        "busy_s": pytest.approx(6),
        "images_per_s": pytest.approx(20 / 3),
        "workers": 2,
    }
    assert found["stages"]["score"] == {"busy_s": 0.0, "images_per_s": None, "workers": 1}


@pytest.mark.parametrize(("encoders", "limited_by"), [(1, "encode"), (4, "decode")])
def test_more_encoders_move_the_limit(encoders: int, limited_by: str) -> None:
    clock = Clock(0.0, POOLS)
    clock.add(timed(10, 1.0), now=2.0)
    assert clock.described(3.0, {"decode": 3, "encode": encoders})["limited_by"] == limited_by


def test_a_run_without_any_record_has_no_speed() -> None:
    clock = Clock(0.0, POOLS)
    clock.add(timed(0, 0.0), now=1.0)
    assert clock.described(2.0, WORKERS) == {"images": 0}


def test_the_time_that_scoring_took_is_not_taken_for_a_score() -> None:
    tally = Tally()
    tally.add(pa.table({"status": ["ok"], "score_mcm": [0.5], "score_s": [0.001]}))
    assert list(tally.described()["quantiles"]) == ["score_mcm"]
