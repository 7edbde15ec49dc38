from pathlib import Path

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
