"""Plans a reference: images that are known to belong, or their embeddings, wherever they are (METHODS.md §10b)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.config.rescore import ReadEmbeddings, Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError, ReadError
from pipelines.inputs.embedding_plan import EMBEDDED, EMBEDDINGS, embedding_kind, plan_embeddings
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.listing import SCAN_FILE, Accepted, File, Kind, expand, kind_of
from pipelines.inputs.plan import Plan, Shard, told_apart
from pipelines.inputs.readers.embeddings import EmbeddingColumns
from pipelines.inputs.readers.names import suffix_of
from pipelines.inputs.readers.range_file import RangeFile
from pipelines.inputs.readers.row_groups import DAMAGE, open_table
from pipelines.storage import Directory, file_system, storage_errors

REFERENCE = "--reference"
KEPT = "embeddings"
"""The folder of a scan directory that its embeddings are in."""


def _any_kind(url: str) -> Kind | None:
    return kind_of(url) or embedding_kind(url)


ANY = Accepted(REFERENCE, ".tar, .parquet, .npy, .txt (a list) or image file", _any_kind, scans=True)
TABLES = replace(EMBEDDINGS, option=REFERENCE)


@dataclass(frozen=True)
class Reference:
    """What a reference holds. `made_by`: the weights by which each scan directory's embeddings were made."""

    plan: Plan
    made_by: Mapping[str, str]

    @property
    def images(self) -> list[Shard]:
        """The shards that hold images."""
        return [shard for shard in self.plan.shards if shard.kind not in EMBEDDED]

    def check_weights(self, weights: str | None) -> None:
        """Raises CallerError if a scan's embeddings were made by another model than the one with these weights."""
        for given, other in self.made_by.items():
            if weights is not None and other != weights:
                raise CallerError(
                    f"{REFERENCE} {given!r} is a scan by another model: its weights are {other[:12]}…, those of this "
                    f"one {weights[:12]}…"
                )


def plan_reference(config: Scan | Rescore, dim: int, options: Mapping[str, Any]) -> Reference | None:
    """The reference of a scan or rescoring, None if it has none. `dim`: of the label bank's embeddings.

    Each URL is a scan directory with embeddings, tables of embeddings, or images, which only a scan can encode. Raises
    CallerError for one that is missing, empty, or of other embeddings.
    """
    if not config.reference:
        return None
    shards: list[Shard] = []
    made_by: dict[str, str] = {}
    for given in dict.fromkeys(config.reference):
        place, is_scan = given, Directory(given, options)
        if is_scan.is_at(config.output):
            raise CallerError(f"{REFERENCE} {given!r} is --output itself: a scan cannot say what belongs in it")
        with storage_errors(f"{REFERENCE} {given!r}"):
            recorded = _recorded(is_scan)
        if recorded is not None:
            place = _embeddings_of(is_scan, given, recorded, made_by)
        shards.extend(_planned(place, given, config, dim, options))
    return Reference(Plan(told_apart(shards), {}), made_by)


def _recorded(place: Directory) -> dict[str, Any] | None:
    """What a scan directory records of its scan; None for another place."""
    if not place.exists(SCAN_FILE):
        return None
    return dict(json.loads(place.read(SCAN_FILE))["identity"])


def _embeddings_of(scan: Directory, given: str, recorded: Mapping[str, Any], made_by: dict[str, str]) -> str:
    """Where the embeddings of a scan are. Raises CallerError if it has not kept any."""
    if not scan.names(KEPT):
        raise CallerError(f"{REFERENCE} {given!r} is a scan that holds no embeddings: make it with --embeddings")
    if recorded.get("weights"):
        made_by[given] = recorded["weights"]
    return f"{given.rstrip('/')}/{KEPT}"


def _planned(place: str, given: str, config: Scan | Rescore, dim: int, options: Mapping[str, Any]) -> Sequence[Shard]:
    read = config.read if isinstance(config, Rescore) else ReadEmbeddings(retry_s=config.read.retry_s)
    files = [file for file in expand(place, options, ANY) if not file.passed_over]
    if not files:
        raise CallerError(f"{REFERENCE} {given!r} holds no images and no embeddings")
    if _holds_embeddings(files, read, options):
        return plan_embeddings([place], read, dim, options, TABLES).shards
    if isinstance(config, Rescore):
        raise CallerError(
            f"{REFERENCE} {given!r} holds no embeddings, and a rescoring encodes no images: give a table of "
            "embeddings, or a scan directory that has some"
        )
    return plan_images([place], config.read, options, REFERENCE).shards


def _holds_embeddings(files: Sequence[File], read: ReadEmbeddings, options: Mapping[str, Any]) -> bool:
    """Whether files are tables of embeddings, by the first table among them; with archives or images they are none."""
    kinds = {suffix_of(file.url) for file in files}
    if ".npy" in kinds:
        return True
    if kinds - {".parquet"}:
        return False
    return next(_tables_with_embeddings(files, read, options), False)


def _tables_with_embeddings(files: Sequence[File], read: ReadEmbeddings, options: Mapping[str, Any]) -> Iterator[bool]:
    """Of each table that can be opened, whether it has a column of embeddings."""
    columns = EmbeddingColumns(read.key_column, read.embedding_column)
    for file in files:
        system, path = file_system(file.url, options)
        try:
            table = open_table(RangeFile(system, path, file.size, retry_s=read.retry_s))
        except (ReadError, *DAMAGE):
            continue
        try:
            columns.find(table.schema_arrow)
            yield True
        except ValueError:
            yield False
