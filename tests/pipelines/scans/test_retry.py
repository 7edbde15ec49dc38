"""`oodscan retry` reads again what is in error, and leaves what a scan without errors would have left."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.pools import EncodePool
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.scans.dead_letters import copy_dead_letters
from pipelines.scans.retry import retry
from pipelines.scans.scan import scan
from pipelines.storage import Directory
from pipelines.verify.verify import verify

BY_SCORES, BY_NEIGHBOURS = ("neglabel", "max-cos"), ("neglabel", "consensus")


def files_of(place: Path) -> dict[str, bytes]:
    """All files but for those that tell how long things took, and of which run."""
    found = [path for path in place.rglob("*") if path.is_file() and path.name not in ("summary.json", "scan.json")]
    return {str(path.relative_to(place)): path.read_bytes() for path in found if "manifest" not in path.parts}


def spoil(place: Path, folder: str) -> int:
    """Makes rows of a scan's tables look as if their images could not be read. Returns how many."""
    count = 0
    for path in sorted((place / folder).glob("*.parquet")):
        table = pq.read_table(path)
        spoilt = [2, 5] if len(table) > 5 and table["status"][2].as_py() == table["status"][5].as_py() == "ok" else []
        kept = {"shard", "index", "key", "url", "offset", "length", "row"}
        columns = {}
        for name in table.column_names:
            values = table[name].to_pylist()
            for row in spoilt if name not in kept else ():
                values[row] = {"status": "unreadable-file", "error": "the storage was away"}.get(name)
            columns[name] = pa.array(values, table.schema.field(name).type)
        pq.write_table(pa.table(columns, metadata=table.schema.metadata), path, write_page_checksum=True)
        count += len(spoilt)
        if folder == "scores" and (kept_at := place / "embeddings" / path.name).exists():
            embeddings = pq.read_table(kept_at)
            left = [index not in spoilt for index in embeddings["index"].to_pylist()]
            pq.write_table(embeddings.filter(pa.array(left)), kept_at, write_page_checksum=True)
    return count


@pytest.fixture(scope="module")
def scanned(dataset: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scans: one that is scored image by image, one that looks at neighbours and has kept its encoded rows."""
    place = tmp_path_factory.mktemp("retry")
    for name, methods in (("alone", BY_SCORES), ("neighbours", BY_NEIGHBOURS)):
        scan(
            Scan(
                input=(str(dataset),), labels=str(bank_directory), output=str(place / name), method=methods,
                embeddings=name == "alone", keep_encoded=True, max_bad_fraction=0.5, max_bad_shards=9,
                encode=EncodePool(workers=1),
            )
        )  # fmt: skip
    return place


@pytest.mark.parametrize("name", ["alone", "neighbours"])
def test_records_in_error_are_read_again_and_nothing_else_changes(scanned: Path, name: str) -> None:
    place, said = scanned / name, list[str]()
    before = files_of(place)
    spoilt = spoil(place, "scores")
    if name == "neighbours":
        assert spoil(place, "encoded") == spoilt
    shutil.rmtree(place / "manifest")  # it tells of the tables as they were
    found = retry(str(place), {}, say=said.append)
    assert said[0] == f"{spoilt + 4} records are in error, in 4 shards"
    assert found.mended == spoilt == 8
    assert files_of(place) == before
    assert verify(str(place), {}, tables=True).problems == []


def test_the_bytes_of_what_is_still_in_error_are_copied_aside(scanned: Path, dataset: Path, tmp_path: Path) -> None:
    assert copy_dead_letters(Directory(str(scanned / "alone")), Directory(str(tmp_path))) == 3
    letters = {row["key"]: row for row in pq.read_table(tmp_path / "dead-letters.parquet").to_pylist()}
    assert {key: row["status"] for key, row in letters.items()} == {
        "folder/03.webp": "empty-file",
        "folder/07.webp": "unreadable-image",
        "folder/11.webp": "truncated-image",
        "row-0": "missing-image",
    }
    assert letters["row-0"]["file"] is None
    assert (tmp_path / letters["folder/03.webp"]["file"]).read_bytes() == b""
    assert (tmp_path / letters["folder/07.webp"]["file"]).read_bytes() == b"not a picture"
    cut = letters["folder/11.webp"]["file"]
    assert (tmp_path / cut).read_bytes() == (dataset / "folder/11.webp").read_bytes()


def test_a_scan_without_encoded_rows_that_looks_at_neighbours_cannot_be_mended(scanned: Path, tmp_path: Path) -> None:
    shutil.copytree(scanned / "neighbours", tmp_path / "scan", ignore=shutil.ignore_patterns("encoded"))
    with pytest.raises(CallerError, match="has not kept its encoded rows .--keep-encoded.; scan with --new-scan"):
        retry(str(tmp_path / "scan"), {})


def test_a_scan_that_has_not_ended_goes_on_by_its_own_command(scanned: Path, tmp_path: Path) -> None:
    shutil.copytree(scanned / "alone", tmp_path / "scan", ignore=shutil.ignore_patterns("summary.json"))
    with pytest.raises(CallerError, match="has not ended: it has no summary.json"):
        retry(str(tmp_path / "scan"), {})
