"""Embeddings of texts that the label bank does not hold: from its model, or from a table of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ood_core.vectors import parquet_table, vectors_of
from ood_core.vocabulary import CSP
from pipelines.errors import CallerError, first_line
from pipelines.inputs.readers.embeddings import UNIT_TOLERANCE, list_type
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.runtime.model import ModelSpec
from pipelines.storage import file_system, storage_errors

if TYPE_CHECKING:
    from ood_core.scores.batch import EncodeWords

TEXT_EMBEDDINGS = "--text-embeddings"


@dataclass(frozen=True)
class Texts:
    """Where a worker gets the embeddings of texts from: a table of `text` and `embedding`, or else a model.

    `templates`: the prompts under which the model encodes them.
    """

    model: ModelSpec | None
    table: str | None
    options: Mapping[str, Any] = field(repr=False)
    templates: tuple[str, ...] = CSP.noun

    def encode(self, device: str) -> "EncodeWords":
        """What turns texts into unit embeddings. Raises ModelError if the model cannot be loaded."""
        import torch

        if self.table is not None:
            stored = text_embeddings(read_content(self.table, self.options), self.table)
            return lambda texts: torch.from_numpy(np.stack([stored[text] for text in texts])).to(device)
        if self.model is None:
            raise TypeError("texts are to be encoded, but there is no model")
        encoder = self.model.load()
        return lambda texts: encoder.encode_ensembles(self.templates, texts)


def read_content(url: str, options: Mapping[str, Any]) -> bytes:
    """The file of --text-embeddings. Raises CallerError, naming the option, if it cannot be read."""
    files, path = file_system(url, options)
    with storage_errors(f"{TEXT_EMBEDDINGS} {url!r}"):
        content: Any = files.cat_file(path)
    return content


def text_embeddings(content: bytes, url: str) -> dict[str, np.ndarray]:
    """Unit embeddings by text, from a Parquet table of `text` and `embedding`.

    Raises CallerError, naming the option and the URL, if it is no such table.
    """
    try:
        table = parquet_table(pa.BufferReader(content), ["text", "embedding"])
        kind = table.schema.field("embedding").type
        if list_type(kind) is None:
            raise ValueError(f"its embeddings are {kind}, no lists of floats")
        if not len(table) or table["text"].null_count or table["embedding"].null_count:
            raise ValueError("it has no rows, or rows without a text or an embedding")
        vectors = vectors_of(table["embedding"].cast(pa.list_(pa.float32(), len(table["embedding"][0]))))
        texts = table["text"].cast(pa.string()).to_pylist()
    except (*DAMAGE, ValueError, KeyError) as error:
        raise CallerError(
            f"{TEXT_EMBEDDINGS} {url!r} is not a table of text and embedding: {first_line(error)}"
        ) from error
    off = np.flatnonzero(~(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= UNIT_TOLERANCE))
    if len(off):
        raise CallerError(f"{TEXT_EMBEDDINGS} {url!r}: the embedding of {texts[int(off[0])]!r} is not of unit length")
    return dict(zip(texts, vectors, strict=True))
