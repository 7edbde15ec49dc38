"""What methods need of a scan beyond labels and images: a text encoder, tables of texts, local features."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ood_core.labels import LabelBank
from ood_core.methods import Method
from pipelines.config.model import Model
from pipelines.config.rescore import Rescore
from pipelines.errors import CallerError
from pipelines.inputs.label_bank import model_of
from pipelines.runtime.model import ModelFacts, ModelSpec
from pipelines.scans.workers.texts import TEXT_EMBEDDINGS, read_content, text_embeddings
from pipelines.storage import absolute


@dataclass(frozen=True)
class TextSource:
    """Where a rescoring's methods take the embeddings of texts from: a model, a table and its hash, both or neither."""

    model: Model | None = None
    table: str | None = None
    table_hash: str | None = None


def text_source(
    config: Rescore, methods: Mapping[str, Method], bank: LabelBank, options: Mapping[str, Any]
) -> TextSource:
    """Where the methods take the embeddings of texts from.

    Raises CallerError if one needs a text encoder and there is none, or texts that the table does not hold.
    """
    needing = [name for name, chosen in methods.items() if chosen.needs_texts or chosen.inverts or chosen.needs_noise]
    table, table_hash = config.text_embeddings, None
    if table is not None:
        if not any(methods[name].needs_texts for name in needing):
            raise CallerError(f"{TEXT_EMBEDDINGS} {table!r} is for --method negrefine, which is not asked for")
        table_hash = check_pairs(table, options, bank)
        table = absolute(table)
        needing = [name for name in needing if methods[name].inverts or methods[name].needs_noise]
    if not needing:
        return TextSource(None, table, table_hash)
    model = model_of(config.model, bank)
    if model.name is None:
        raise CallerError(
            f"--method {needing[0]} needs {_needed(needing[0], methods[needing[0]])}; --labels {config.labels!r} does "
            "not say which model it was made with"
        )
    return TextSource(model, table, table_hash)


def _needed(name: str, chosen: Method) -> str:
    """What a method needs that embeddings do not tell, and what would do."""
    if chosen.needs_texts:
        return f"a text encoder: give --model or {TEXT_EMBEDDINGS}"
    if chosen.inverts:
        return f"a text encoder: give --model or --param {name}.max_inversions=0"
    return "an image encoder, for images of noise: give --model"


def check_pairs(url: str, options: Mapping[str, Any], bank: LabelBank) -> str:
    """The hash of a table of text embeddings.

    Raises CallerError if a pair of labels that `negrefine` may ask for is not there, or is of another dimension.
    """
    content = read_content(url, options)
    stored = text_embeddings(content, url)
    dim = len(next(iter(stored.values())))
    if dim != bank.dim:
        raise CallerError(
            f"{TEXT_EMBEDDINGS} {url!r} holds embeddings of dimension {dim}, the label bank's have {bank.dim}"
        )
    ids, negatives = bank.texts[: bank.id_count], bank.texts[bank.id_count :]
    for label in ids:
        for negative in negatives:
            if f"{label} and {negative}" not in stored:
                raise CallerError(f"{TEXT_EMBEDDINGS} {url!r} has no embedding of {f'{label} and {negative}'!r}")
    return hashlib.sha256(content).hexdigest()[:16]


def check_inversion(methods: Mapping[str, Method], model: ModelSpec, facts: ModelFacts) -> None:
    """Raises CallerError if a method turns images into words, and the model cannot."""
    for name, chosen in methods.items():
        if chosen.inverts and facts.inversion is not None:
            raise CallerError(
                f"--method {name} turns images into words, which --model {model.name!r} cannot: {facts.inversion}; "
                f"give another, or --param {name}.max_inversions=0"
            )


def check_local_features(methods: Mapping[str, Method], model: ModelSpec, facts: ModelFacts) -> None:
    """Raises CallerError if a method needs features of every place of an image, and the model gives none."""
    for name, chosen in methods.items():
        if chosen.needs_local_features and facts.local_features is not None:
            raise CallerError(
                f"--method {name} needs local features, which --model {model.name!r} does not give: "
                f"{facts.local_features}"
            )
