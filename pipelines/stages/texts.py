"""Embeddings of texts that the label bank does not hold: from its model, or from a table of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.labels import LabelBank
from ood_core.vocabulary import CSP
from pipelines.errors import CallerError, first_line
from pipelines.readers.embeddings import UNIT_TOLERANCE, list_type
from pipelines.stages.encode import ModelSpec
from pipelines.storage import file_system

if TYPE_CHECKING:
    from ood_core.scores.batch import EncodeWords

OPTION = "--text-embeddings"


@dataclass(frozen=True)
class Texts:
    """Where the embeddings of texts beyond the bank's come from: a model, or a table of `text` and `embedding`."""

    model: ModelSpec | None
    table: str | None
    options: Mapping[str, Any]
    templates: tuple[str, ...] = CSP.noun

    def encode(self, device: str) -> "EncodeWords":
        """Raises ModelError if the model cannot be loaded."""
        import torch

        if self.table is not None:
            stored = read_texts(self.table, self.options)
            return lambda texts: torch.from_numpy(np.stack([stored[text] for text in texts])).to(device)
        if self.model is None:
            raise TypeError("texts are to be encoded, but there is no model")
        encoder = self.model.load()
        return lambda texts: encoder.encode_ensembles(self.templates, texts)


def read_texts(url: str, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Unit embeddings by text. Raises CallerError, naming the option, if there is no such table."""
    files, path = file_system(url, options)
    try:
        content: Any = files.cat_file(path)
        table = pq.read_table(pa.BufferReader(content), columns=["text", "embedding"])
        dim = len(table["embedding"][0])
        if list_type(table["embedding"].type) is None:
            raise ValueError("its embeddings are no lists of floats")
        vectors = table["embedding"].cast(pa.list_(pa.float32(), dim)).combine_chunks().flatten().to_numpy()
    except Exception as error:  # every file system has errors of its own
        raise CallerError(f"{OPTION} {url!r} is not a table of text and embedding: {first_line(error)}") from error
    vectors = vectors.reshape(len(table), dim)
    off = np.flatnonzero(~(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= UNIT_TOLERANCE))
    if len(off):
        text = table["text"][int(off[0])].as_py()
        raise CallerError(f"{OPTION} {url!r}: the embedding of {text!r} is not of unit length")
    return dict(zip(table["text"].to_pylist(), vectors, strict=True))


def check_pairs(url: str, options: Mapping[str, Any], bank: LabelBank) -> None:
    """Raises CallerError if a pair of labels that `negrefine` may ask for is not there, or is of another dimension."""
    stored = read_texts(url, options)
    if len(next(iter(stored.values()))) != bank.dim:
        raise CallerError(f"{OPTION} {url!r} holds embeddings of another dimension than the label bank's {bank.dim}")
    ids, negatives = bank.texts[: bank.id_count], bank.texts[bank.id_count :]
    for label in ids:
        for negative in negatives:
            if f"{label} and {negative}" not in stored:
                raise CallerError(f"{OPTION} {url!r} has no embedding of {f'{label} and {negative}'!r}")
