"""Rank words where they are encoded: a Ray actor around the label side of `ood_core`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipelines.stages.encode import FACTS, ModelSpec, facts_of

if TYPE_CHECKING:
    from torch import Tensor


class RankTexts:
    """Tables of words to tables of their unit embeddings and NegMining scores (lower = a better negative).

    `templates` by the word's `prompt`, "id" among them. The first row of each table carries what `describe` says of the
    model, as JSON; where that is why it cannot be loaded, there is nothing else.
    """

    def __init__(
        self, model: ModelSpec, templates: Mapping[str, tuple[str, ...]], ids: Sequence[str], quantile: float
    ) -> None:
        from ood_core.encoders import ModelError

        self.templates, self.quantile = templates, quantile
        try:
            self.encoder = model.load()
            self.id_embeddings = self.encoder.encode_ensembles(templates["id"], ids)
            self.facts = facts_of(self.encoder)
        except ModelError as error:
            self.facts = str(error)

    def __call__(self, words: pa.Table) -> pa.Table:
        from ood_core.labels.neglabel import similarity_quantile

        said = pa.array([FACTS.dump_json(self.facts).decode(), *[None] * (len(words) - 1)], pa.string())
        table = words.select(["index"]).append_column("facts", said)
        if isinstance(self.facts, str):
            return table
        embeddings = self._encoded(words)
        scores = similarity_quantile(embeddings, self.id_embeddings, self.quantile)
        table = table.append_column("embedding", _vectors(embeddings.cpu().numpy()))
        return table.append_column("selection_score", pa.array(scores))

    def _encoded(self, words: pa.Table) -> "Tensor":
        import torch

        embeddings = torch.empty(len(words), self.encoder.dim, device=self.encoder.device)
        prompts = np.array(words["prompt"].to_pylist())
        for name, templates in self.templates.items():
            rows = np.flatnonzero(prompts == name)
            texts = words["text"].take(rows).to_pylist()
            embeddings[torch.from_numpy(rows)] = self.encoder.encode_ensembles(templates, texts)
        return embeddings


def _vectors(values: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1])
