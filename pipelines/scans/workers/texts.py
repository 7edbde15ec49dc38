"""Embeddings of texts that the label bank does not hold: from its model, or from a table of them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import split_protocol

from ood_core.labels import LabelBank
from ood_core.methods import InterNeg, Parameters, needs_texts
from ood_core.vocabulary import CSP
from pipelines.config.model import Model
from pipelines.config.rescore import Rescore
from pipelines.errors import CallerError, first_line
from pipelines.inputs.label_bank import model_of
from pipelines.inputs.readers.embeddings import UNIT_TOLERANCE, list_type
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.runtime.model import ModelFacts, ModelSpec
from pipelines.storage import LOCAL, file_system

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


@dataclass(frozen=True)
class AskedTexts:
    """What a rescoring's methods take the embeddings of texts from: a model, a table and its hash, neither or both."""

    model: Model | None = None
    table: str | None = None
    table_hash: str | None = None


def check_texts(
    config: Rescore, methods: Mapping[str, Parameters], bank: LabelBank, options: Mapping[str, Any]
) -> AskedTexts:
    """Raises CallerError if a method needs a text encoder, or texts that the table does not hold."""
    needing = [name for name, parameters in methods.items() if needs_texts(parameters)]
    table, table_hash = config.text_embeddings, None
    if table is not None:
        if "negrefine" not in needing:
            raise CallerError(f"{OPTION} {table!r} is for --method negrefine, which is not asked for")
        table_hash = check_pairs(table, options, bank)
        table = _absolute(table)
        needing.remove("negrefine")
    if not needing:
        return AskedTexts(None, table, table_hash)
    model = model_of(config.model, bank)
    if model.name is None:
        otherwise = OPTION if needing[0] == "negrefine" else "--param interneg.max_inversions=0"
        raise CallerError(
            f"--method {needing[0]} needs a text encoder: give --model, as --labels {config.labels!r} does not say "
            f"which model it was made with, or {otherwise}"
        )
    return AskedTexts(model, table, table_hash)


def check_inversion(methods: Mapping[str, Parameters], model: ModelSpec, facts: ModelFacts) -> None:
    """Raises CallerError if images are to be inverted, and the model cannot."""
    for name, parameters in methods.items():
        if isinstance(parameters, InterNeg) and parameters.inverts and facts.inversion is not None:
            raise CallerError(
                f"--method {name} turns images into words, which --model {model.name!r} cannot: {facts.inversion}; "
                f"give another, or --param {name}.max_inversions=0"
            )


def _absolute(url: str) -> str:
    """Workers may stand in another directory."""
    return str(Path(url.removeprefix("file://")).absolute()) if split_protocol(url)[0] in LOCAL else url


def read_texts(url: str, options: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Unit embeddings by text. Raises CallerError, naming the option, if there is no such table."""
    return _texts_in(_content(url, options), url)


def _content(url: str, options: Mapping[str, Any]) -> bytes:
    files, path = file_system(url, options)
    try:
        content: Any = files.cat_file(path)
    except Exception as error:  # every file system has errors of its own
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else first_line(error)
        raise CallerError(f"{OPTION} {url!r} cannot be read: {reason}") from error
    return content


def _texts_in(content: bytes, url: str) -> dict[str, np.ndarray]:
    try:
        table = pq.read_table(pa.BufferReader(content), columns=["text", "embedding"])
        kind = table.schema.field("embedding").type
        if list_type(kind) is None:
            raise ValueError(f"its embeddings are {kind}, no lists of floats")
        if not len(table) or table["text"].null_count or table["embedding"].null_count:
            raise ValueError("it has no rows, or rows without a text or an embedding")
        dim = len(table["embedding"][0])
        vectors = table["embedding"].cast(pa.list_(pa.float32(), dim)).combine_chunks().flatten().to_numpy(False)
        texts = table["text"].cast(pa.string()).to_pylist()
    except (*DAMAGE, ValueError, KeyError) as error:
        raise CallerError(f"{OPTION} {url!r} is not a table of text and embedding: {first_line(error)}") from error
    vectors = vectors.reshape(len(table), dim)
    off = np.flatnonzero(~(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= UNIT_TOLERANCE))
    if len(off):
        raise CallerError(f"{OPTION} {url!r}: the embedding of {texts[int(off[0])]!r} is not of unit length")
    return dict(zip(texts, vectors, strict=True))


def check_pairs(url: str, options: Mapping[str, Any], bank: LabelBank) -> str:
    """The hash of a table of texts. Raises CallerError if a pair of labels that `negrefine` may ask for is not there,
    or is of another dimension."""
    content = _content(url, options)
    stored = _texts_in(content, url)
    dim = len(next(iter(stored.values())))
    if dim != bank.dim:
        raise CallerError(f"{OPTION} {url!r} holds embeddings of dimension {dim}, the label bank's have {bank.dim}")
    ids, negatives = bank.texts[: bank.id_count], bank.texts[bank.id_count :]
    for label in ids:
        for negative in negatives:
            if f"{label} and {negative}" not in stored:
                raise CallerError(f"{OPTION} {url!r} has no embedding of {f'{label} and {negative}'!r}")
    return hashlib.sha256(content).hexdigest()[:16]
