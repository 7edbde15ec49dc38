"""The encoder: a Ray actor that turns decoded images into embeddings and scores.

torch is imported only where an actor is made.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.methods import ImageMethod, score_column
from ood_core.vectors import vector_column
from pipelines.inputs.label_bank import noun_templates
from pipelines.memory.scoring import MemoryScorer, MemoryUse
from pipelines.runtime.model import ModelSpec
from pipelines.scan_directory.columns import EMBEDDING, ENCODER_READY, scattered

if TYPE_CHECKING:
    from torch import Tensor

    from ood_core.scores import ImageScores


@dataclass(frozen=True)
class ScoreSpec:
    """What an encoder needs besides the model to score what it encodes.

    `embeddings`: the type in which embeddings are handed on, None if they are not; `memory`: what to do with one.
    """

    bank: LabelBank
    methods: Mapping[str, ImageMethod]
    embeddings: Literal["float16", "float32"] | None = None
    memory: MemoryUse = field(default_factory=MemoryUse)


class EncodeImages:
    """Turns tables of decoded records into tables of scores; rows without pixels pass through with nulls."""

    def __init__(self, model: ModelSpec, score: ScoreSpec) -> None:
        self.encoder = model.load()
        self.spec = score
        encode = partial(self.encoder.encode_ensembles, noun_templates(score.bank))
        encode = encode if any(chosen.needs_texts for chosen in score.methods.values()) else None
        self.score = MemoryScorer(score.memory, score.bank, score.methods, model.device, encode)
        self.id_labels = pa.array(score.bank.texts[: score.bank.id_count])
        self.negative_labels = pa.array(score.bank.texts[score.bank.id_count :], pa.string())
        self.ready = time.time()

    def __call__(self, records: pa.Table) -> pa.Table:
        present = np.flatnonzero(records["pixels"].is_valid().to_numpy())
        start = time.perf_counter()
        embeddings, local = self._encode(records.take(present))
        encoded = time.perf_counter()
        keys = [key or "" for key in records["key"].take(present).to_pylist()]
        scores, more = self.score(embeddings, local, keys)
        scored = time.perf_counter()
        if self.spec.embeddings:
            more[EMBEDDING] = vector_column(embeddings.float().cpu().numpy().astype(self.spec.embeddings))
        each = 1 / max(1, len(present))
        for name, seconds in (("encode_s", encoded - start), ("score_s", scored - encoded)):
            more[name] = pa.array(np.full(len(present), seconds * each))
        table = self._with_scores(records.drop_columns("pixels"), present, scores, more)
        return table.append_column(ENCODER_READY, pa.array(np.full(len(table), self.ready)))

    def _encode(self, records: pa.Table) -> "tuple[Tensor, Tensor | None]":
        """Unit embeddings, and the features of every place of each image if a method asks for them."""
        import torch

        pixels = torch.from_numpy(self._pixels(records))
        if any(chosen.needs_local_features for chosen in self.spec.methods.values()):
            found = self.encoder.encode_images_locally(pixels)
        else:
            found = self.encoder.encode_images(pixels), None
        if self.encoder.device.type == "cuda":
            torch.cuda.synchronize()
        return found

    def _pixels(self, records: pa.Table) -> np.ndarray:
        """The pixels of all records as one uint8 array [images, height, width, 3], without a copy per image."""
        height, width = self.encoder.preprocessing.size
        shape = (len(records), height, width, 3)
        if not len(records):
            return np.empty(shape, np.uint8)
        column = records["pixels"].combine_chunks()
        _, offsets, values = column.buffers()
        first = np.frombuffer(offsets, np.int32, 1, column.offset * 4)[0]
        flat = np.frombuffer(values, np.uint8, int(np.prod(shape)), int(first))
        return flat.reshape(shape).copy()  # the block that Ray shares is read-only, and torch warns of that

    def _with_scores(
        self, records: pa.Table, present: np.ndarray, scores: "ImageScores", more: Mapping[str, pa.Array]
    ) -> pa.Table:
        nearest = pa.array(scores.negative_label, mask=scores.negative_label < 0)
        columns = {
            "id_label": self.id_labels.take(pa.array(scores.id_label)),
            "id_probability": pa.array(scores.id_probability),
            "negative_label": self.negative_labels.take(nearest),
            **{score_column(name): pa.array(values) for name, values in scores.scores.items()},
            **more,
        }
        for name, values in columns.items():
            records = records.append_column(name, scattered(values, present, len(records)))
        return records
