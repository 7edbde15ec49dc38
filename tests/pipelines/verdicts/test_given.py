"""The verdicts that count tonight: those the scan keeps, those it is given, and last night's."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ood_core.methods import Consensus, MaxCos, Method, Verdicts
from pipelines.errors import CallerError
from pipelines.storage import Directory
from pipelines.verdicts.given import given_verdicts
from pipelines.verdicts.kept import keep, kept_verdicts
from tests.pipelines.verdicts.made_verdicts import DIM, said, table, verdicts

METHODS: Mapping[str, Method] = {"max-cos": MaxCos(), "verdicts": Verdicts("max-cos")}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directories of two scans with a verdict each, of one without any, and a table of one."""
    monkeypatch.chdir(tmp_path)
    for name, number in (("monday", 1), ("tuesday", 2)):
        keep(Directory(name), verdicts(said(number), weights="one"))
    for name in ("monday", "none"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "scan.json").write_text("{}")
    pq.write_table(table([said(3, by="joe")]), "said.parquet")
    return tmp_path


def given(*urls: str, since: str | None = None, methods: Mapping[str, Method] = METHODS, dim: int = DIM) -> list[int]:
    """The images on which there are verdicts, in order."""
    found = given_verdicts(urls, Directory("out"), Directory(since) if since else None, methods, dim)
    return found.table["index"].to_pylist()


def test_those_of_all_places_count_once(place: Path) -> None:
    assert given() == []
    assert given("said.parquet", "monday", "said.parquet", f"{place}/monday", since="tuesday") == [1, 2, 3]
    keep(Directory("out"), verdicts(said(4)))
    assert given(since="none") == [4]
    assert given("tuesday", since="monday") == [1, 2, 4]
    assert given_verdicts(["monday"], Directory("out"), None, METHODS, DIM).weights == "one"
    assert given_verdicts(["said.parquet"], Directory("out"), None, METHODS, DIM).weights is None


def test_a_folder_with_verdicts_alone_is_as_good_as_a_scan(place: Path) -> None:
    assert given("tuesday") == given("tuesday/") == [2]


def test_what_somebody_said_later_counts_wherever_it_is(place: Path) -> None:
    pq.write_table(table([said(1, 0.0, minute=5)]), "later.parquet")
    pq.write_table(table([said(1, 0.5, minute=3)]), "between.parquet")
    for urls in (("later.parquet", "between.parquet"), ("between.parquet", "later.parquet")):
        found = given_verdicts(urls, Directory("out"), Directory("monday"), METHODS, DIM)
        assert found.belongs.tolist() == [0.0]


def test_nothing_is_kept_by_looking(place: Path) -> None:
    given("said.parquet", since="monday")
    assert not (place / "out").exists()
    assert len(kept_verdicts(Directory("monday"), DIM)) == 1


def test_methods_that_take_none_refuse_those_given_and_pass_others_over(place: Path) -> None:
    (place / "broken/verdicts").mkdir(parents=True)
    (place / "broken/verdicts/part-1.parquet").write_bytes(b"x")
    for methods in ({"max-cos": MaxCos()}, {"max-cos": MaxCos(), "consensus": Consensus(verdicts=False)}):
        assert given(since="broken", methods=methods) == []
        with pytest.raises(CallerError, match="--verdicts 'gone': no method takes it; ask for --method verdicts or"):
            given("gone", methods=methods)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("gone", "--verdicts 'gone' is neither a scan directory nor a Parquet table of verdicts with embeddings"),
        ("gone.parquet", "--verdicts 'gone.parquet' cannot be read: it does not exist"),
        ("empty.parquet", "--verdicts 'empty.parquet' cannot be read: "),
        ("page.csv", "is added to the scan that it asked about: oodscan verdicts SCAN --add FILE"),
        ("none", "--verdicts 'none' is a scan that keeps no verdicts: oodscan verdicts none --add FILE"),
        ("other.parquet", "--verdicts 'other.parquet' is no table of verdicts with embeddings: it has no column belo"),
        ("two.parquet", "--verdicts 'two.parquet': not every verdict has an embedding of 4 numbers"),
        ("broken", "broken/verdicts/part-1.parquet' cannot be read: "),
        ("s3://u:secret@bucket/x", "URL holds a password"),
        ("odd://x", "'odd://x' cannot be opened: "),
    ],
)
def test_what_holds_no_verdicts_is_named(place: Path, url: str, expected: str) -> None:
    (place / "empty.parquet").write_bytes(b"")
    (place / "page.csv").write_text("shard,index,verdict\ns,1,yes\n")
    pq.write_table(pa.table({"embedding": [[1.0]]}), "other.parquet")
    pq.write_table(pa.table({"belongs": [1.0], "embedding": [[1.0, 0.0]]}), "two.parquet")
    (place / "broken/verdicts").mkdir(parents=True)
    (place / "broken/verdicts/part-1.parquet").write_bytes(b"x")
    with pytest.raises(CallerError) as error:
        given("monday", url)
    assert expected in str(error.value)
    assert "\n" not in str(error.value) and "secret" not in str(error.value)


def test_verdicts_on_embeddings_of_two_models_do_not_mix(place: Path) -> None:
    pq.write_table(table([said(5)], "two"), "two.parquet")
    keep(Directory("other"), verdicts(said(6), weights="two"))
    for urls, since in ((("monday", "two.parquet"), None), (("two.parquet",), "tuesday"), (("monday",), "other")):
        with pytest.raises(CallerError, match="--verdicts holds verdicts on embeddings by another model"):
            given(*urls, since=since)
    keep(Directory("out"), verdicts(said(7), weights="two"))
    with pytest.raises(CallerError, match="by another model"):
        given("monday")
    assert given("two.parquet", "said.parquet") == [3, 5, 7]
