"""Images of a scan by shard and index: their rows, and their embeddings from wherever the scan has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ood_core.vectors import vectors_of
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Read, Scan
from pipelines.errors import CallerError, ReadError, first_line
from pipelines.inputs.locate import read_planned
from pipelines.inputs.plan import Shard, read_plan
from pipelines.inputs.stored_embeddings import StoredEmbeddings
from pipelines.scan_directory.columns import EMBEDDING, LOCATOR
from pipelines.scan_directory.layout import EMBEDDINGS, ENCODED, PLAN_FILE, SCORES, read_table, shard_file
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.storage import Directory

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster

Place = tuple[str, int]
"""A shard's id, and an index in it."""


@dataclass(frozen=True)
class ScanImages:
    """The images of a scan that has ended, looked at one by one."""

    record: ScanRecord

    @cached_property
    def shards(self) -> dict[str, Shard]:
        """The planned shards by id. Raises CallerError if the plan cannot be read."""
        directory = self.record.directory
        with reading(directory.url, PLAN_FILE):
            return {shard.id: shard for shard in read_plan(directory.read(PLAN_FILE))}

    def rows(self, places: Sequence[Place], columns: Sequence[str]) -> list[dict[str, Any] | None]:
        """Columns of the score tables' rows at these places, None where there is none. Reads each table once."""
        found: dict[Place, dict[str, Any]] = {}
        for shard, indices in _by_shard(places).items():
            if shard not in self.shards:
                continue
            table = table_of_scan(self.record.directory, shard_file(SCORES, shard))
            kept = table.select([column for column in columns if column in table.column_names])
            there = [index for index in indices if 0 <= index < len(table)]
            for index, row in zip(there, kept.take(pa.array(there, pa.int64())).to_pylist(), strict=True):
                found[shard, index] = row
        return [found.get(place) for place in places]

    def content(self, place: Place, row: Mapping[str, Any]) -> bytes:
        """The bytes of an image. `row`: its locator. Raises ReadError if they cannot be read, or are others now."""
        if not isinstance(self.record.config, Scan):
            raise ReadError("a rescoring has no images")
        return read_planned(
            self.shards[place[0]], {name: row[name] for name in LOCATOR}, self.record.config.read,
            self.record.directory.options,
        )  # fmt: skip

    def embeddings(self, places: Sequence[Place], dim: int, found: "Cluster") -> np.ndarray:
        """Unit embeddings [images, dim] of images that have scores: those that the scan has kept, or else made again.

        Raises CallerError if they cannot be had.
        """
        vectors: dict[Place, np.ndarray] = {}
        left: list[Place] = []
        for shard, indices in _by_shard(places).items():
            rows = self._kept(shard, indices, dim)
            if rows is None:
                left += [(shard, index) for index in indices]
            else:
                vectors |= {(shard, index): row for index, row in zip(indices, rows, strict=True)}
        if left:
            vectors |= dict(zip(left, self._encoded_again(left, found), strict=True))
        return np.stack([vectors[place] for place in places]) if places else np.zeros((0, dim), np.float32)

    def _kept(self, shard: str, indices: Sequence[int], dim: int) -> np.ndarray | None:
        """The embeddings of some images of a shard; None if the scan has kept none of it."""
        directory, config = self.record.directory, self.record.config
        if isinstance(config, Rescore):
            return self._of_tables(shard, indices, StoredEmbeddings(config.read, dim, directory.options))
        for folder in (EMBEDDINGS, ENCODED):
            name = shard_file(folder, shard)
            with reading(directory.url, name):
                if directory.exists(name):
                    table = read_table(directory, name, ["index", EMBEDDING])
                    numbers = {row: number for number, row in enumerate(table["index"].to_pylist())}
                    kept = table.take(pa.array([numbers[index] for index in indices]))
                    return vectors_of(kept[EMBEDDING], dim).astype(np.float32)
        return None

    def _of_tables(self, shard: str, indices: Sequence[int], tables: StoredEmbeddings) -> np.ndarray:
        wanted, parts, start = np.array(indices), [], 0
        said = f"SCAN {self.record.directory.url!r}: the embeddings of shard {shard}"
        try:
            for rows in tables.rows(self.shards[shard]):
                parts.append(rows.vectors)
                start += len(rows)
        except Exception as error:  # every library that reads has errors of its own
            raise CallerError(f"{said} cannot be read: {first_line(error)}") from error
        if start <= wanted.max(initial=-1):
            raise CallerError(f"{said} have changed since")
        return np.concatenate(parts)[wanted].astype(np.float32)

    def _encoded_again(self, places: Sequence[Place], found: "Cluster") -> np.ndarray:
        """The embeddings of images that are read, decoded and encoded once more, by a task."""
        import ray

        from pipelines.runtime.model import GPU_SHARE, model_facts, model_spec

        config, said = self.record.config, f"SCAN {self.record.directory.url!r}"
        if not isinstance(config, Scan):
            raise TypeError("a rescoring encodes nothing")
        contents = []
        for place, row in zip(places, self.rows(places, list(LOCATOR)), strict=True):
            try:
                contents.append(self.content(place, row or {}))
            except ReadError as error:
                raise CallerError(
                    f"{said} has kept no embeddings (--embeddings), and image {place[1]} of shard {place[0]} cannot "
                    f"be read again: {error}"
                ) from error
        spec = model_spec(config.model, config.encode, found)
        facts = model_facts(spec)
        if (before := self.record.identity.get("weights")) not in (None, facts.weights):
            raise CallerError(f"{said} was made by a model of other weights, {str(before)[:12]}…")
        gpus = GPU_SHARE if spec.device == "cuda" else 0
        task: Any = ray.remote(num_cpus=1, num_gpus=gpus)(_encode)
        vectors: Any = ray.get(task.remote(spec.settled(facts), config.read, contents))
        if isinstance(vectors, str):
            raise CallerError(f"{said}: {vectors}")
        return vectors


def table_of_scan(directory: Directory, name: str) -> pa.Table:
    """A table that a scan must have. Raises CallerError, which names it, if it cannot be read."""
    try:
        with reading(directory.url, name):
            return read_table(directory, name)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CallerError(f"SCAN {directory.url!r} has no {name}; see `oodscan verify`") from error


def _encode(spec: Any, read: Read, contents: Sequence[bytes]) -> np.ndarray | str:
    """The unit embeddings of pictures; or why there are none."""
    import torch

    from ood_core.decoding import DecodeError, Decoder

    encoder = spec.load()
    decode = Decoder(spec.facts.preprocessing, read.decode, read.max_image_pixels, read.max_jpeg_scans)
    try:
        pixels = [decode(content).pixels for content in contents]
    except DecodeError as error:
        return f"an image cannot be decoded again: {error}"
    with torch.inference_mode():
        return encoder.encode_images(torch.from_numpy(np.stack(pixels))).float().cpu().numpy()


def _by_shard(places: Sequence[Place]) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for shard, index in places:
        found.setdefault(shard, []).append(index)
    return found
