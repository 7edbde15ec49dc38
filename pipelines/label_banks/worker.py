"""The worker of a label bank: a Ray actor that encodes and ranks words, and encodes the images of ID labels."""

import itertools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ood_core.criteria import Criterion, Density, WholeCorpus
from ood_core.decoding import Decoder
from ood_core.memory import Candidates
from ood_core.vocabulary import Part
from pipelines.config.scan import Read
from pipelines.inputs.plan import Shard
from pipelines.inputs.records import records
from pipelines.label_banks.corpus import Block
from pipelines.label_banks.id_images import IMAGES_AT_ONCE, LabelledSlice
from pipelines.memory.workers import LearnFromEmbeddings, LearnSpec
from pipelines.runtime.model import FACTS, ModelSpec, facts_of
from pipelines.scans.workers.decode import decode

PLAIN = ("{}",)
"""The template of a text as it is."""


class RankedBlock(NamedTuple):
    """One ranked block: how many candidates it had, how many passed the criterion's test, and those within the bound.

    `rows`: a table as `ranked_table` makes it.
    """

    part: Part
    candidates: int
    survivors: int
    rows: pa.Table


class LabelWorker:
    """Encodes and ranks with one model. `templates`: the prompts of each part, and of the ID labels under "id".

    Holds no state but the model and the ID labels, so a call can be repeated, on any worker. That the model cannot be
    loaded is said by `facts`, not raised.
    """

    def __init__(self, model: ModelSpec, templates: Mapping[str, tuple[str, ...]], ids: Sequence[str]) -> None:
        from ood_core.encoders import ModelError

        self.templates, self.dim, self.label_texts = templates, 0, tuple(ids)
        self.plain_ids: Any = None
        try:
            self.encoder = model.load()
            self.id_embeddings = self.encoder.encode_ensembles(templates["id"], ids)
            self._facts = facts_of(self.encoder)
            self.dim = self._facts.dim
        except ModelError as error:
            self._facts = str(error)

    def facts(self) -> str:
        """The model's facts as JSON, or why it cannot be loaded."""
        return FACTS.dump_json(self._facts).decode()

    def ids(self) -> np.ndarray:
        """Unit embeddings of the ID labels, [ID labels, dim]."""
        return self.id_embeddings.cpu().numpy()

    def embeddings(self, block: Block) -> tuple[Block, np.ndarray]:
        """The block, and the unit embeddings of its texts, [texts, dim]."""
        return block, self.encoder.encode_ensembles(self.templates[block.part], block.texts).cpu().numpy()

    def nearest(self, block: Block, count: int) -> tuple[Block, np.ndarray]:
        """The block, and the numbers of the ID labels nearest to each of its texts, [texts, count], nearest first.

        Texts are compared as they are, without prompts.
        """
        from ood_core.labels.nearest import nearest_labels

        if self.plain_ids is None:
            self.plain_ids = self.encoder.encode_ensembles(PLAIN, self.label_texts)
        return block, nearest_labels(self.encoder.encode_ensembles(PLAIN, block.texts), self.plain_ids, count)

    def rank(self, block: Block, criterion: Criterion, bound: float, image_embeddings: Any = None) -> RankedBlock:
        """Ranks a block by a criterion that looks at one candidate at a time; drops scores above `bound`.

        `image_embeddings`: the mean image of each ID label, for InterNeg's criterion.
        """
        import torch

        from ood_core.labels.ranking import rank

        if isinstance(criterion, Density | WholeCorpus):
            raise TypeError(f"{type(criterion).__name__} does not rank one candidate at a time")
        images = None
        if image_embeddings is not None:
            images = torch.from_numpy(np.array(image_embeddings)).to(self.encoder.device)
        candidates = self.encoder.encode_ensembles(self.templates[block.part], block.texts)
        scores, survives = rank(criterion, candidates, self.id_embeddings, images)
        rows = np.flatnonzero(survives & (scores <= bound))
        kept = ranked_table(block.first + rows, scores[rows], block.texts, rows)
        return RankedBlock(block.part, len(block.texts), int(survives.sum()), kept)

    def features(self, block: Block) -> tuple[Block, np.ndarray | str]:
        """The block, and its text features as the model gives them, not of unit length; or why they have no density."""
        from ood_core.labels.density import check_lengths

        features = self.encoder.encode_ensembles(self.templates[block.part], block.texts, normalize=False)
        try:
            check_lengths(features)
        except ValueError as error:
            return block, str(error)
        return block, features.cpu().numpy()

    def densities(self, features: np.ndarray, start: int, stop: int, neighbours: int) -> tuple[int, np.ndarray]:
        """`start`, and the mean log distance of each row from `start` to `stop` to its nearest among all rows."""
        import torch

        from ood_core.labels.density import mean_log_distance

        with warnings.catch_warnings():  # what Ray shares is read-only, and nothing writes to it
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            candidates = torch.from_numpy(features).to(self.encoder.device)
        return start, mean_log_distance(candidates[start:stop], candidates, neighbours)

    def images(
        self, chosen: LabelledSlice, read: Read, options: Mapping[str, Any]
    ) -> tuple[LabelledSlice, np.ndarray, list[int]]:
        """The slice, the unit embeddings of those of its records that are pictures, and these records' indices."""
        import torch

        embeddings, indices = [np.empty((0, self.dim), np.float32)], []
        pictures = self._pictures(chosen, read, options)
        while together := list(itertools.islice(pictures, IMAGES_AT_ONCE)):
            pixels = torch.from_numpy(np.stack([picture for _, picture in together]))
            embeddings.append(self.encoder.encode_images(pixels).cpu().numpy())
            indices += [index for index, _ in together]
        return chosen, np.concatenate(embeddings), indices

    def learn(self, spec: LearnSpec, shard: Shard, method: str) -> Candidates:
        """What a shard of embeddings offers the memory of a method that learns."""
        return LearnFromEmbeddings(spec, {}).candidates(shard)[method]

    def _pictures(
        self, chosen: LabelledSlice, read: Read, options: Mapping[str, Any]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The chosen records' indices and pictures at the model's size; those that cannot be decoded are left out."""
        decoder = Decoder(self.encoder.preprocessing, "exact", read.max_image_pixels, read.max_jpeg_scans)
        last = max(chosen.labels)
        for index, record in enumerate(records(chosen.shard, read, options)):
            if index in chosen.labels:
                decoded = decode(record, decoder)
                if decoded.pixels is not None:
                    yield index, decoded.pixels
            if index == last:
                return


def ranked_table(index: np.ndarray, scores: np.ndarray, texts: Sequence[str], rows: np.ndarray) -> pa.Table:
    """A table of `index` (a candidate's number in its part), `selection_score` (lower is kept first) and `text`.

    `rows`: where in `texts` the candidates stand.
    """
    return pa.table(
        {"index": index, "selection_score": scores, "text": pa.array([texts[row] for row in rows], pa.string())}
    )
