import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import CallerError
from pipelines.evaluation.score_sets import pooled_scores, read_scores
from tests.pipelines.evaluation.made_scores import scores


@pytest.mark.parametrize("given", ["scan", "scan/scores", "scan/scores/*.parquet", "scan/scores/part-[ab].parquet"])
def test_a_scan_a_folder_or_a_pattern_is_read_whole(tmp_path: Path, given: str) -> None:
    root = tmp_path / "nightly [1]" if "*" not in given and "[" not in given else tmp_path
    scores(root / "scan/scores/part-a.parquet", mcm=[0.1, 0.2])
    scores(root / "scan/scores/part-b.parquet", mcm=[0.3])
    scores(root / "scan/scores/part-c.parquet", mcm=[]) if given != "scan/scores/part-[ab].parquet" else None
    scores(root / "scan/embeddings/part-a.parquet", mcm=[9.0])
    (root / "scan/scores/.part-d.parquet.0a1b.tmp").write_bytes(b"half a file")
    assert read_scores("--id", str(root / given), {}).columns["score_mcm"].tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("gone", "is not a scan directory, a score table or a pattern that matches any"),
        ("*.pq", "is not a scan directory, a score table or a pattern that matches any"),
        ("empty", "is not a scan directory, a score table or a pattern that matches any"),
        ("text.parquet", "holds a file that is not a readable score table, {}/text.parquet: "),
        ("keys.parquet", "holds {}/keys.parquet, a table without a score column"),
        ("null.parquet", "holds no scored image: no row has a score_mcm"),
        ("none.parquet", "holds no scored image: no row has a score_mcm"),
        ("mixed", "holds score tables with different score columns: {0}/mixed/a.parquet and {0}/mixed/b.parquet"),
    ],
)
def test_a_set_that_cannot_be_used_is_named_with_its_option(tmp_path: Path, given: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.parquet").write_bytes(b"not Parquet")
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "keys.parquet")
    scores(tmp_path / "null.parquet", mcm=[None])
    scores(tmp_path / "none.parquet", mcm=[])
    scores(tmp_path / "mixed/a.parquet", mcm=[0.1])
    scores(tmp_path / "mixed/b.parquet", neglabel=[0.1])
    with pytest.raises(CallerError) as raised:
        read_scores("--ood far", str(tmp_path / given), {})
    assert str(raised.value).startswith(f"--ood far '{tmp_path / given}' {message.format(tmp_path)}")


ODD: dict[str, tuple[pa.Array, str]] = {
    "text": (pa.array(["0.5"]), "holds string, not numbers"),
    "lists": (pa.array([[0.5]]), "holds list<element: double>, not numbers"),
    "structs": (pa.array([{"a": 0.5}]), "holds struct<a: double>, not numbers"),
    "booleans": (pa.array([True]), "holds bool, not numbers"),
    "a dictionary": (pa.array(["0.5"]).dictionary_encode(), "holds dictionary<values=string, indices=int32"),
    "decimals": (pa.array([Decimal("0.5")]), "holds decimal128(1, 1), not numbers"),
    "times": (pa.array([0], pa.timestamp("us")), "holds timestamp[us], not numbers"),
    "bytes": (pa.array([b"x"]), "holds binary, not numbers"),
    "NaN": (pa.array([math.nan]), "has 1 scores that are not finite numbers"),
    "infinity": (pa.array([math.inf]), "has 1 scores that are not finite numbers"),
    "minus infinity in half precision": (
        pa.array([np.float16(-np.inf)], pa.float16()),
        "has 1 scores that are not finite numbers",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_scores_that_are_no_finite_numbers_are_the_callers_mistake(tmp_path: Path, name: str) -> None:
    values, message = ODD[name]
    scores(tmp_path / "a.parquet", mcm=[0.5])
    pq.write_table(pa.table({"key": ["a"], "score_mcm": values}), tmp_path / "b.parquet")
    with pytest.raises(CallerError) as raised:
        read_scores("--ood far", str(tmp_path), {})
    where = f"--ood far '{tmp_path}' holds {tmp_path}/b.parquet, whose column 'score_mcm' "
    assert str(raised.value).startswith(where + message)


def test_a_column_that_is_there_twice_is_the_callers_mistake(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([0.5])] * 2, ["score_mcm"] * 2)
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(CallerError, match=r"a.parquet, a table with 2 columns 'score_mcm'$"):
        read_scores("--id", str(tmp_path / "a.parquet"), {})


def test_numbers_of_any_type_and_nulls_are_scores_and_so_are_those_of_repeated_keys(tmp_path: Path) -> None:
    kinds = [pa.float16(), pa.float32(), pa.int8(), pa.uint64(), pa.null()]
    for number, kind in enumerate(kinds):
        values = pa.array([None if kind == pa.null() else np.float16(1)] * 2, kind)
        pq.write_table(pa.table({"key": ["a", "a"], "score_mcm": values}), tmp_path / f"{number}.parquet")
    found = read_scores("--id", str(tmp_path), {})
    assert found.columns["score_mcm"].tolist() == [1.0] * 8
    assert (found.records, found.unscored) == (10, 2)


def test_the_order_of_score_columns_does_not_matter(tmp_path: Path) -> None:
    scores(tmp_path / "a.parquet", mcm=[0.1], neglabel=[1.0])
    scores(tmp_path / "b.parquet", neglabel=[2.0], mcm=[0.2])
    columns = read_scores("--id", str(tmp_path), {}).columns
    assert {name: values.tolist() for name, values in columns.items()} == {
        "score_mcm": [0.1, 0.2],
        "score_neglabel": [1.0, 2.0],
    }


def test_several_urls_are_pooled_into_one_set(tmp_path: Path) -> None:
    one = scores(tmp_path / "one.parquet", mcm=[0.1, 0.2, None], neglabel=[1.0, 2.0, None])
    two = scores(tmp_path / "two.parquet", mcm=[0.3])
    pooled = pooled_scores("--ood far", [one, two], {})
    assert {name: values.tolist() for name, values in pooled.columns.items()} == {"score_mcm": [0.1, 0.2, 0.3]}
    assert (pooled.records, pooled.unscored, pooled.partial) == (4, 1, ("score_neglabel",))


def test_a_url_given_twice_is_refused(tmp_path: Path) -> None:
    one = scores(tmp_path / "one.parquet", mcm=[0.1])
    with pytest.raises(CallerError, match=f"^--ood far '{one}' is given twice"):
        pooled_scores("--ood far", [one, one], {})
