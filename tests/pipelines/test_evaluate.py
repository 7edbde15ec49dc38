from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import CallerError
from pipelines.evaluate import evaluate, read_scores


def scores(path: Path, **columns: list[float | None]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {f"score_{name}": pa.array(values, pa.float64()) for name, values in columns.items()}
    count = len(next(iter(columns.values())))
    pq.write_table(pa.table({"key": [str(row) for row in range(count)], **named}), path)
    return str(path)


@pytest.fixture
def inside(tmp_path: Path) -> str:
    return scores(tmp_path / "id.parquet", mcm=[0.6, 0.7, 0.8, 0.9], neglabel=[1.0, 1.0, 1.0, 1.0])


def test_metrics_are_given_by_method_and_set_and_averaged(tmp_path: Path, inside: str) -> None:
    far = scores(tmp_path / "far.parquet", mcm=[0.1, 0.2], neglabel=[0.0, 0.0])
    near = scores(tmp_path / "near.parquet", mcm=[0.65, 0.75], neglabel=[0.0, 2.0])
    found = evaluate(inside, {"far": far, "near": near}, {})
    assert found.results["mcm"]["far"].auroc == 1.0
    assert found.results["mcm"]["near"].auroc == pytest.approx(5 / 8)
    assert found.results["neglabel"]["near"].auroc == pytest.approx(0.5)
    assert found.results["mcm"]["average"].auroc == pytest.approx((1 + 5 / 8) / 2)
    assert found.to_json()["results"]["mcm"]["far"]["fpr95"] == 0.0
    assert found.to_markdown().splitlines()[:3] == [
        "| method | far | near | average |",
        "|---|---|---|---|",
        "| mcm | 100.00 / 0.00 | 62.50 / 100.00 | 81.25 / 50.00 |",
    ]


def test_records_without_a_score_are_left_out_and_counted(tmp_path: Path, inside: str) -> None:
    ood = scores(tmp_path / "ood.parquet", mcm=[0.1, None, 0.2])
    found = evaluate(inside, {"ood": ood}, {})
    assert found.sets == {"id": {"scored": 4, "unscored": 0}, "ood": {"scored": 2, "unscored": 1}}
    assert list(found.results) == ["mcm"]


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
        ("text.parquet", "holds a file that is not a readable score table"),
        ("keys.parquet", "holds a table without a score column"),
        ("null.parquet", "holds no scored image"),
        ("mixed", "holds score tables with different score columns"),
    ],
)
def test_a_set_that_cannot_be_used_is_named_with_its_option(tmp_path: Path, given: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.parquet").write_bytes(b"not Parquet")
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "keys.parquet")
    scores(tmp_path / "null.parquet", mcm=[None])
    scores(tmp_path / "mixed/a.parquet", mcm=[0.1])
    scores(tmp_path / "mixed/b.parquet", neglabel=[0.1])
    with pytest.raises(CallerError) as raised:
        read_scores("--ood far", str(tmp_path / given), {})
    assert str(raised.value).startswith(f"--ood far '{tmp_path / given}' {message}")


def test_sets_without_a_common_score_column_are_refused(tmp_path: Path, inside: str) -> None:
    other = scores(tmp_path / "other.parquet", consensus=[0.1])
    with pytest.raises(CallerError, match="have no score column in common"):
        evaluate(inside, {"other": other}, {})


@pytest.mark.parametrize("name", ["average", "id"])
def test_a_set_may_not_take_a_name_that_the_result_uses(inside: str, name: str) -> None:
    with pytest.raises(CallerError, match=f"^--ood '{name}' is a name that the table uses itself"):
        evaluate(inside, {name: inside}, {})
