import io

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.layout import committed
from pipelines.scan_directory.receipts import Receipt
from pipelines.storage import Directory
from tests.pipelines.made_scan import rows

SHARDS = {"a": rows("a", [f"a{n}" for n in range(9)], bad=(2, 5)), "b": rows("b", ["b0"]), "c": rows("c", [])}


class Recorded(Directory):
    """A place in memory that remembers the order of what is put."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "puts", {})

    def put(self, name: str, content: bytes) -> None:
        vars(self)["puts"][name] = content


def commit(shards: dict[str, pa.Table]) -> tuple[dict[str, bytes], dict[str, Receipt]]:
    output = Recorded("memory://recorded")
    committer = Committer(output, "f1")
    receipts = {shard: committer.commit(shard, table) for shard, table in shards.items()}
    return vars(output)["puts"], receipts


WHOLE, RECEIPTS = commit(SHARDS)


def read(content: bytes) -> pa.Table:
    return pq.read_table(io.BytesIO(content))


def test_the_files_are_the_same_to_the_byte_whatever_pieces_the_rows_come_in() -> None:
    for size in (1, 2, 5):
        pieces = {shard: [table.slice(start, size) for start in range(0, 9, size)] for shard, table in SHARDS.items()}
        assert commit({shard: pa.concat_tables(parts) for shard, parts in pieces.items()})[0] == WHOLE


def test_a_score_table_holds_every_record_in_order() -> None:
    table = read(WHOLE["scores/part-a.parquet"])
    assert table["index"].to_pylist() == list(range(9))
    assert table["key"].to_pylist() == [f"a{n}" for n in range(9)]
    assert [n for n, status in enumerate(table["status"].to_pylist()) if status != "ok"] == [2, 5]
    assert "embedding" not in table.column_names
    assert table.schema.metadata == {b"oodscan.fingerprint": b"f1", b"oodscan.records": b"9"}


def test_an_embedding_table_holds_the_good_records() -> None:
    table = read(WHOLE["embeddings/part-a.parquet"])
    assert table.column_names == ["key", "shard", "index", "embedding"]
    assert table["index"].to_pylist() == [0, 1, 3, 4, 6, 7, 8]


def test_an_empty_shard_has_a_table_without_rows() -> None:
    table = read(WHOLE["scores/part-c.parquet"])
    assert (len(table), table.schema.metadata[b"oodscan.records"]) == (0, b"0")
    assert table.column_names == read(WHOLE["scores/part-a.parquet"]).column_names


def test_a_visible_score_has_its_embedding() -> None:
    for shard in SHARDS:
        names = list(WHOLE)
        assert names.index(f"embeddings/part-{shard}.parquet") < names.index(f"scores/part-{shard}.parquet")


def test_without_embeddings_there_are_scores_alone() -> None:
    without = {shard: table.drop_columns("embedding") for shard, table in SHARDS.items()}
    assert list(commit(without)[0]) == [f"scores/part-{shard}.parquet" for shard in SHARDS]


def test_a_receipt_tells_of_the_file_and_of_its_rows() -> None:
    found = RECEIPTS["a"]
    assert (found["records"], found["size"]) == (9, len(WHOLE["scores/part-a.parquet"]))
    assert found["statuses"] == [("ok", 7), ("unreadable-image", 2)]
    assert [(sketch["column"], sum(sketch["counts"])) for sketch in found["sketches"]] == [("score_mcm", 7)]
    assert len({receipt["digest"] for receipt in RECEIPTS.values()}) == 3


def told(receipt: Receipt | None) -> dict:
    assert receipt is not None
    counts = [[list(part) for part in (sketch["buckets"], sketch["counts"])] for sketch in receipt["sketches"]]
    return {**receipt, "sketches": counts}


def test_what_is_committed_already_has_the_same_receipt_as_when_it_was(tmp_path) -> None:
    committer = Committer(Directory(str(tmp_path)), "f1")
    for shard, table in SHARDS.items():
        assert committer.known(shard) is None
        receipt = committer.commit(shard, table)
        assert told(committer.known(shard)) == told(receipt)


def test_a_file_of_another_scan_or_one_that_is_damaged_is_not_known(tmp_path) -> None:
    output = Directory(str(tmp_path))
    Committer(output, "f1").commit("a", SHARDS["a"])
    assert Committer(output, "f2").known("a") is None
    content = output.read("scores/part-a.parquet")
    for cut in (0, 3, len(content) // 2, len(content) - 1):
        output.put("scores/part-a.parquet", content[:cut])
        assert Committer(output, "f1").known("a") is None


def test_what_is_committed_is_what_scores_are_visible(tmp_path) -> None:
    output = Directory(str(tmp_path))
    assert committed(output) == set()
    for name in ("scores/part-x.y-0a1b2c3d.parquet", "scores/.part-2.parquet.ab12.tmp", "embeddings/part-3.parquet"):
        output.put(name, b"")
    assert committed(output) == {"x.y-0a1b2c3d"}
