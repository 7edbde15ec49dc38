"""Encodes and scores blocks of pictures. torch is imported only where an object is made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from ood_core.labels import LabelBank
from ood_core.methods import ImageMethod, score_column
from ood_core.vectors import vector_column
from pipelines.inputs.label_bank import noun_templates
from pipelines.memory.scoring import MemoryScorer, MemoryUse
from pipelines.runtime.model import ModelSpec
from pipelines.scan_directory.columns import EMBEDDING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ood_core.scores import ImageScores


@dataclass(frozen=True)
class ScoreSpec:
    """What an encoder needs besides the model to score what it encodes.

    `embeddings`: the type in which embeddings are handed on, None if they are not; `memory`: what to do with one.
    """

    bank: LabelBank
    methods: "Mapping[str, ImageMethod]"
    embeddings: Literal["float16", "float32"] | None = None
    memory: MemoryUse = field(default_factory=MemoryUse)


@dataclass(frozen=True)
class Encoded:
    """Unit embeddings of pictures on the model's device, and the features of every place of each if a method asks for
    them; on a GPU perhaps not computed yet."""

    embeddings: "Tensor"
    local: "Tensor | None"


class ImageEncoder:
    """Encodes pictures at the model's size, on a GPU while the pictures before them are scored."""

    def __init__(self, model: ModelSpec, local: bool) -> None:
        import torch

        self.encoder, self.local = model.load(), local
        self.on_gpu = self.encoder.device.type == "cuda"
        self.copies = torch.cuda.Stream(self.encoder.device) if self.on_gpu else None
        shape = (self.encoder.image_block, *self.encoder.preprocessing.size, 3)
        self.rooms = [torch.zeros(shape, dtype=torch.uint8, pin_memory=self.on_gpu) for _ in range(1 + self.on_gpu)]
        self.copied: list[Any] = [None] * len(self.rooms)
        self.turn = 0

    def room(self) -> "Tensor":
        """Where the pictures of the next block are put: uint8 [block, height, width, 3], in pinned memory for a GPU."""
        if self.copied[self.turn] is not None:
            self.copied[self.turn].synchronize()
        return self.rooms[self.turn]

    def __call__(self, count: int) -> Encoded:
        """Encodes the first `count` pictures of the block in `room`; on a GPU it does not wait for the result."""
        pictures = self._on_device(self.rooms[self.turn])
        if self.local:
            embeddings, local = self.encoder.encode_images_locally(pictures)
        else:
            embeddings, local = self.encoder.encode_images(pictures), None
        self.turn = (self.turn + 1) % len(self.rooms)
        return Encoded(embeddings[:count], None if local is None else local[:count])

    def _on_device(self, block: "Tensor") -> "Tensor":
        """The block on the model's device, copied while the device computes."""
        import torch

        if self.copies is None:
            return block
        computing = torch.cuda.current_stream(self.encoder.device)
        with torch.cuda.stream(self.copies):
            pictures = block.to(self.encoder.device, non_blocking=True)
            self.copied[self.turn] = self.copies.record_event()
        computing.wait_stream(self.copies)
        pictures.record_stream(computing)
        return pictures


class ScoreImages:
    """Scores embeddings of pictures, and puts the scores into columns of a score table."""

    def __init__(self, spec: ScoreSpec, encoder: ImageEncoder) -> None:
        self.spec, self.device = spec, encoder.encoder.device
        encode = partial(encoder.encoder.encode_ensembles, noun_templates(spec.bank))
        encode = encode if any(chosen.needs_texts for chosen in spec.methods.values()) else None
        self.score = MemoryScorer(spec.memory, spec.bank, spec.methods, str(self.device), encode)
        self.id_labels = pa.array(spec.bank.texts[: spec.bank.id_count])
        self.negative_labels = pa.array(spec.bank.texts[spec.bank.id_count :], pa.string())

    def __call__(self, blocks: Sequence[Encoded], keys: Sequence[str]) -> pa.Table:
        """A row for each picture of the blocks, in order. `keys`: of the pictures."""
        import torch

        embeddings = torch.cat([block.embeddings for block in blocks])
        local = [block.local for block in blocks if block.local is not None]
        return self._table(embeddings, *self.score(embeddings, torch.cat(local) if local else None, keys))

    def nothing(self) -> pa.Table:
        """The table of no picture."""
        import torch

        none = torch.empty(0, self.spec.bank.dim, device=self.device)
        return self._table(none, *self.score.nothing(none))

    def _table(self, embeddings: "Tensor", scores: "ImageScores", more: "Mapping[str, pa.Array]") -> pa.Table:
        nearest = pa.array(scores.negative_label, mask=scores.negative_label < 0)
        columns = {
            "id_label": self.id_labels.take(pa.array(scores.id_label)),
            "id_probability": pa.array(scores.id_probability),
            "negative_label": self.negative_labels.take(nearest),
            **{score_column(name): pa.array(values) for name, values in scores.scores.items()},
            **more,
        }
        if self.spec.embeddings:
            columns[EMBEDDING] = vector_column(embeddings.float().cpu().numpy().astype(self.spec.embeddings))
        return pa.table(columns)
