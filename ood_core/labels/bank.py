"""The label bank and its table, `labels.parquet` (format: README, Label bank). Free of torch."""

import hashlib
import io
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.labels.info import INFO_FILE, BankInfo, check_permutation, read_info
from ood_core.vectors import parquet_bytes, parquet_table, vector_column

LABELS_FILE = "labels.parquet"
LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


@dataclass(frozen=True)
class LabelBank:
    """A label bank: labels in order, ID labels first, with unit embeddings [labels, dim] in float32.

    `selection_scores`: the criterion's, lower = a better negative whatever the criterion; NaN for ID labels.
    `image_embeddings`, [id_count, dim]: the mean image of each ID label, where the criterion knew images (InterNeg);
    zeros where it knew none.
    """

    texts: list[str]
    parts: list[str]
    id_count: int
    embeddings: np.ndarray
    selection_scores: np.ndarray
    verdicts: list[str | None]
    info: BankInfo = field(default_factory=BankInfo)
    image_embeddings: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.id_count:
            raise ValueError("a label bank needs at least one label with role 'id'")
        _check_unit(self.embeddings, self.texts, "an embedding")
        if self.image_embeddings is not None:
            if self.image_embeddings.shape != (self.id_count, self.dim):
                raise ValueError(
                    f"image embeddings must be [{self.id_count}, {self.dim}] (ID labels, dimension), not "
                    f"{list(self.image_embeddings.shape)}"
                )
            known = np.flatnonzero(self.image_embeddings.any(axis=1))
            _check_unit(self.image_embeddings[known], [self.texts[row] for row in known], "an image embedding")
        if isinstance(self.info.permutation, list):
            check_permutation(self.info.permutation, self.negative_count)

    @property
    def negative_count(self) -> int:
        return len(self.texts) - self.id_count

    @property
    def dim(self) -> int:
        return self.embeddings.shape[1]

    def permutation(self) -> np.ndarray:
        """The order in which the negatives fall into groups: indices into the negatives, each once."""
        return self.info.order_of(self.negative_count)

    def content_hash(self) -> str:
        """SHA-256 of all that scores can depend on."""
        digest = hashlib.sha256()
        words = [self.texts, self.id_count, self.info.temperature, self.embeddings.shape]
        digest.update(json.dumps(words, ensure_ascii=False).encode())
        digest.update(np.ascontiguousarray(self.embeddings, dtype="<f4").data)
        digest.update(self.permutation().astype("<i8").data)
        if self.image_embeddings is not None:
            digest.update(np.ascontiguousarray(self.image_embeddings, dtype="<f4").data)
        return digest.hexdigest()

    def to_files(self) -> dict[str, bytes]:
        """The bank's files by name; the same bank gives the same bytes."""
        info = replace(self.info, content_hash=self.content_hash())
        described = {key: value for key, value in asdict(info).items() if value is not None}
        return {
            LABELS_FILE: parquet_bytes(_to_table(self)),
            INFO_FILE: (json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode(),
        }

    @classmethod
    def from_files(cls, labels: bytes, info: bytes | None = None) -> "LabelBank":
        """A bank from the contents of its files; `info` may be missing.

        Raises ValueError that says what is wrong with the bank.
        """
        try:
            table = parquet_table(io.BytesIO(labels))
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{LABELS_FILE} is not a readable Parquet file: {error}") from error
        bank = _from_table(table, read_info(info) if info is not None else BankInfo())
        if bank.info.content_hash not in (None, bank.content_hash()):
            raise ValueError(f"{LABELS_FILE} is not the one that {INFO_FILE} describes: the content hashes differ")
        return bank

    def save(self, directory: str | Path) -> None:
        """Writes the bank's files to a local directory, which is made if need be."""
        Path(directory).mkdir(parents=True, exist_ok=True)
        for name, content in self.to_files().items():
            (Path(directory) / name).write_bytes(content)

    @classmethod
    def load(cls, directory: str | Path) -> "LabelBank":
        """The bank in a local directory. Raises FileNotFoundError if there is none, ValueError if it is not valid."""
        info = Path(directory) / INFO_FILE
        return cls.from_files(
            (Path(directory) / LABELS_FILE).read_bytes(), info.read_bytes() if info.exists() else None
        )


def _check_unit(embeddings: np.ndarray, texts: list[str], what: str) -> None:
    lengths = np.linalg.norm(embeddings, axis=1)
    wrong = ~(np.abs(lengths - 1) < 1e-3)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"label {texts[row]!r} has {what} of length {lengths[row]:.4g}, not 1")


def _to_table(bank: LabelBank) -> pa.Table:
    roles = ["id"] * bank.id_count + ["negative"] * bank.negative_count
    selection = pa.array(bank.selection_scores, type=pa.float64(), mask=np.isnan(bank.selection_scores))
    columns = {
        "text": pa.array(bank.texts, pa.string()),
        "role": pa.array(roles, pa.string()),
        "part": pa.array(bank.parts, pa.string()),
        "embedding": vector_column(bank.embeddings.astype(np.float32, copy=False)),
        "selection_score": selection,
        "verdict": pa.array(bank.verdicts, pa.string()),
    }
    if bank.image_embeddings is not None:
        columns["image_embedding"] = _image_column(bank.image_embeddings, len(bank.texts))
    return pa.table(columns)


def _image_column(embeddings: np.ndarray, rows: int) -> pa.Array:
    """The column of image embeddings: null for negatives and for ID labels without one."""
    ids, dim = embeddings.shape
    values = np.zeros((rows, dim), np.float32)
    values[:ids] = embeddings
    return vector_column(values, mask=np.logical_not(values.any(axis=1)))


def _from_table(table: pa.Table, info: BankInfo) -> LabelBank:
    if missing := {"text", "role", "embedding"} - set(table.column_names):
        raise ValueError(f"{LABELS_FILE} lacks the column {sorted(missing)[0]!r}")
    if repeated := [name for name in table.column_names if table.column_names.count(name) > 1]:
        raise ValueError(f"{LABELS_FILE} has several columns {repeated[0]!r}")
    roles = _values(table, "role", pa.string())
    if unknown := set(roles) - {"id", "negative"}:
        raise ValueError(f"{LABELS_FILE} has the role {sorted(unknown, key=str)[0]!r}; roles are 'id' and 'negative'")
    is_id = np.array([role == "id" for role in roles], dtype=bool)
    table = table.take(np.argsort(~is_id, kind="stable"))
    texts = _values(table, "text", pa.string())
    if without := texts.count(None):
        raise ValueError(f"{LABELS_FILE} has {without} labels without a text")
    ids = int(is_id.sum())
    return LabelBank(
        texts=texts,
        parts=[part or "noun" for part in _values(table, "part", pa.string())],
        id_count=ids,
        embeddings=_embeddings(table["embedding"]),
        selection_scores=np.array(_values(table, "selection_score", pa.float64()), dtype=np.float64),
        verdicts=_values(table, "verdict", pa.string()),
        info=info,
        image_embeddings=_image_embeddings(table, ids),
    )


def _values(table: pa.Table, name: str, kind: pa.DataType) -> list[Any]:
    """The values of a column as Python's, None where it has none or is not there."""
    if name not in table.column_names:
        return [None] * len(table)
    try:
        return table[name].cast(kind).to_pylist()
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise ValueError(f"{LABELS_FILE} has a column {name!r} of {table[name].type}, not {kind}: {error}") from error


def _image_embeddings(table: pa.Table, ids: int) -> np.ndarray | None:
    """Image embeddings of the ID labels, zeros where one has none; None if no label has one."""
    if "image_embedding" not in table.column_names:
        return None
    column = table["image_embedding"].slice(0, ids)
    known = np.flatnonzero(column.is_valid().to_numpy())
    if not len(known):
        return None
    embeddings = _embeddings(column.take(pa.array(known)))
    found = np.zeros((ids, embeddings.shape[1]), np.float32)
    found[known] = embeddings
    return found


def _embeddings(column: pa.ChunkedArray) -> np.ndarray:
    if not any(is_lists(column.type) for is_lists in LISTS):
        raise ValueError(f"{LABELS_FILE} has embeddings that are no lists of numbers, but {column.type}")
    known = column.drop_null()
    dim = len(known[0]) if len(known) else 0
    try:
        lists = column.cast(pa.list_(pa.float32(), dim)).combine_chunks()
    except pa.ArrowException as error:
        raise ValueError(f"{LABELS_FILE} has embeddings that are no lists of {dim} numbers each: {error}") from error
    values = lists.flatten()
    if lists.null_count or values.null_count:
        raise ValueError(f"{LABELS_FILE} has embeddings that are missing or have missing numbers")
    return np.array(values, dtype=np.float32).reshape(len(column), dim)
