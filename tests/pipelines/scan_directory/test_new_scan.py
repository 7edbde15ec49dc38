from pathlib import Path

import pytest

from pipelines.errors import CallerError
from pipelines.scan_directory.layout import names_a_file
from pipelines.scan_directory.new_scan import check_not_read, clear
from pipelines.storage import Directory

OURS = [
    "scan.json", "plan.parquet", "summary.json", "_SUCCESS", "scores/part-a-0a1b2c3d.parquet",
    "embeddings/part-a-0a1b2c3d.parquet", "encoded/part-a-0a1b2c3d.parquet", "scored/part-a-0a1b2c3d.parquet",
    "memory/candidates/part-a-0a1b2c3d.parquet", "memory/verdicts/part-a-0a1b2c3d.parquet", "memory/snapshot-3.parquet",
    "memory/initial.parquet", "memory/extra-negatives.parquet", "consensus/anchors.parquet",
    "consensus/sums-0.parquet", "consensus/votes/part-a-0a1b2c3d.parquet",
]  # fmt: skip
OTHERS = [
    "mine.txt", "report.parquet", "scores/mine.parquet", "embeddings/img_emb_0.npy", "scores/old/part-a.parquet",
    "memory/notes.md", "data/scores/part-a.parquet",
]  # fmt: skip


def made(root: Path, names: list[str]) -> Directory:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return Directory(str(root))


def files_in(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_what_a_scan_writes_goes_and_nothing_else(tmp_path: Path) -> None:
    clear(made(tmp_path, OURS + OTHERS))
    assert files_in(tmp_path) == sorted(OTHERS)
    assert not (tmp_path / "consensus").exists()


def test_where_no_scan_lies_nothing_goes(tmp_path: Path) -> None:
    there = [name for name in OURS if name != "scan.json"] + OTHERS
    clear(made(tmp_path, there))
    assert files_in(tmp_path) == sorted(there)


@pytest.mark.parametrize("name", OURS)
def test_every_file_of_a_scan_is_named_by_the_layout(name: str) -> None:
    assert names_a_file(name)


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_not_named_by_the_layout(name: str) -> None:
    assert not names_a_file(name)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_what_is_read_would_not_be_removed(tmp_path: Path, prefix: str) -> None:
    output = made(tmp_path / "scan", OURS)
    (tmp_path / "link").symlink_to(tmp_path / "scan")
    for place in ("scan", "link"):
        url = f"{prefix}{tmp_path}/{place}/embeddings/part-a-0a1b2c3d.parquet"
        with pytest.raises(CallerError, match="--new-scan would remove --embeddings '.*', which this scan reads"):
            check_not_read(output, {"--embeddings": [f"{tmp_path}/other.parquet", url]})
    with pytest.raises(CallerError, match="--new-scan would remove --memory"):
        check_not_read(output, {"--memory": [f"{tmp_path}/scan/"]})


def test_files_beside_the_scan_may_be_read(tmp_path: Path) -> None:
    output = made(tmp_path / "scan", OURS)
    urls = [f"{tmp_path}/scan/data/a.tar", f"{tmp_path}/scan-of-before/scores/part-a.parquet", "s3://bucket/scan/a.tar"]
    check_not_read(output, {"--input": urls, "--labels": [f"{tmp_path}/scan/labels"]})


def test_remote_urls_are_compared_as_they_are() -> None:
    with pytest.raises(CallerError, match="--new-scan would remove --embeddings"):
        check_not_read(Directory("s3://b/scan"), {"--embeddings": ["s3://b/scan/embeddings/part-a.parquet"]})
    check_not_read(Directory("s3://b/scan"), {"--embeddings": ["s3://b/scan/other/part-a.parquet"]})
