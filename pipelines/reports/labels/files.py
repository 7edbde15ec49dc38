"""A label bank's files, read column by column, so that embeddings stay where they are. Free of torch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.labels import BankInfo, LabelBank
from ood_core.labels.bank import INFO_FILE, LABELS_FILE
from ood_core.labels.info import read_info
from pipelines.errors import CallerError, ReadError, first_line
from pipelines.inputs.label_bank import load_bank, open_words
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.storage import Directory, storage_errors

ROWS_A_TABLE = 65_536
LABELS = pa.schema({"text": pa.string(), "role": pa.string(), "part": pa.string(), "selection_score": pa.float64()})


@dataclass(frozen=True)
class BankFiles:
    """The files of a label bank; what is wrong with them is a CallerError. `called`: its name on the command line."""

    called: str
    directory: Directory

    def has(self, name: str) -> bool:
        with storage_errors(f"{self.called} {self.directory.url!r}"):
            return self.directory.exists(name)

    def info(self) -> BankInfo:
        with self._checked():
            return read_info(self.directory.read(INFO_FILE)) if self.has(INFO_FILE) else BankInfo()

    def bank(self) -> LabelBank:
        """The whole label bank, embeddings included."""
        return load_bank(self.directory, self.called)

    def labels(self) -> pa.Table:
        """A row for each label: text, role, and part and selection score if there are any; no embedding is read."""
        self._check_there()
        table = pa.concat_tables(self.tables(LABELS_FILE, LABELS, required=("text", "role", "embedding")))
        with self._checked():
            if table["text"].null_count:
                raise ValueError(f"{LABELS_FILE} has {table['text'].null_count} labels without a text")
            roles = set(table["role"].unique().to_pylist())
            if roles - {"id", "negative"}:
                role = sorted(roles - {"id", "negative"}, key=str)[0]
                raise ValueError(f"{LABELS_FILE} has the role {role!r}; roles are 'id' and 'negative'")
            if "id" not in roles:
                raise ValueError("a label bank needs at least one label with role 'id'")
        return table

    def tables(self, name: str, schema: pa.Schema, required: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Tables with the columns of a file that `schema` names, up to `ROWS_A_TABLE` rows each; the first is empty.

        `required`: columns that must be there, default all of them.
        """
        with self._checked(), open_words(self.called, self.directory.folder(name).url, self.directory.options) as file:
            try:
                source = pq.ParquetFile(file, page_checksum_verification=True)
            except DAMAGE as error:
                raise ValueError(f"{name} is not a readable Parquet file: {first_line(error)}") from error
            there = source.schema_arrow.names
            missing = [column for column in required or schema.names if column not in there]
            if missing:
                raise ValueError(f"{name} lacks the column {missing[0]!r}")
            wanted = pa.schema([field for field in schema if field.name in there])
            yield wanted.empty_table()
            for batch in source.iter_batches(ROWS_A_TABLE, columns=wanted.names):
                yield pa.Table.from_batches([batch]).select(wanted.names).cast(wanted)

    def invalid(self, reason: object) -> CallerError:
        return CallerError(f"{self.called} {self.directory.url!r} is not a valid label bank: {reason}")

    def _check_there(self) -> None:
        if not self.has(LABELS_FILE):
            raise CallerError(
                f"{self.called} {self.directory.url!r} is not a label bank: it has no {LABELS_FILE}; "
                "make one with `oodscan labels build`"
            )

    @contextmanager
    def _checked(self) -> Iterator[None]:
        try:
            yield
        except (*DAMAGE, ValueError, ReadError) as error:
            raise self.invalid(first_line(error)) from error
