from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import CallerError
from pipelines.inputs.label_bank import load_bank, read_words
from pipelines.storage import Directory


def test_a_bank_of_three_columns_is_enough(tmp_path: Path) -> None:
    columns = {
        "text": ["cat", "hammer"],
        "role": ["id", "negative"],
        "embedding": pa.array([[1.0, 0.0], [0.0, 1.0]], pa.list_(pa.float32(), 2)),
    }
    pq.write_table(pa.table(columns), tmp_path / "labels.parquet")
    bank = load_bank(Directory(str(tmp_path)))
    assert (bank.texts, bank.id_count, bank.dim) == (["cat", "hammer"], 1, 2)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "is not a label bank: it has no labels.parquet; make one with `oodscan labels build`"),
        ({"labels.parquet": b"PAR1"}, "is not a valid label bank: labels.parquet is not a readable Parquet file"),
    ],
)
def test_what_is_no_bank_is_named(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CallerError) as raised:
        load_bank(Directory(str(tmp_path)))
    assert str(raised.value).startswith(f"--labels '{tmp_path}' {message}")


def test_words_are_read_from_any_file(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_bytes(b"cat\n")
    assert read_words("--corpus", str(tmp_path / "words.txt"), {}) == b"cat\n"


@pytest.mark.parametrize(("name", "reason"), [("gone.txt", "it does not exist"), ("", ".*Is a directory")])
def test_a_word_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(CallerError, match=f"^--corpus '{tmp_path}/{name}' cannot be read: {reason}"):
        read_words("--corpus", f"{tmp_path}/{name}", {})
