"""Makes the gallery of a scan: the rows of the images that were chosen for it, and their thumbnails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ood_core.decoding import DecodeError
from ood_core.decoding.thumbnail import thumbnail
from ood_core.methods import score_column
from pipelines.config.scan import Read, Scan
from pipelines.errors import ReadError
from pipelines.inputs.locate import read_planned
from pipelines.inputs.plan import Shard
from pipelines.runtime.progress import Say
from pipelines.runtime.spread import unless_killed
from pipelines.scan_directory.columns import LOCATOR
from pipelines.scan_directory.kinds import gallery_choices
from pipelines.scan_directory.layout import FINGERPRINT_KEY, GALLERY_FILE, SCORES, read_table, shard_file, table_bytes
from pipelines.scan_directory.summary import Tally
from pipelines.scans.request import Request
from pipelines.storage import Directory

IMAGES_A_TASK = 64

NONE = pa.table(
    {
        "method": pa.array([], pa.string()),
        "kind": pa.array([], pa.string()),
        "rank": pa.array([], pa.int64()),
        "thumbnail": pa.array([], pa.binary()),
    }
)
"""The gallery of a scan in which nothing was scored."""

Places = list[tuple[str, list[int]]]
"""Rows of score tables, by shard."""


def make_gallery(request: Request, tally: Tally, fingerprint: str, say: Say) -> None:
    """Writes `gallery.parquet`: a row for every image that was chosen, by method, kind and rank.

    Of what is flagged, only the kinds with the most such images are shown. Its columns: `method`, `kind`, `rank` (of
    its score; from 0), those that the score tables have alike, and `thumbnail`, which is null for images that cannot
    be read again, whose file has changed since it was planned, and where there are none, in a rescoring.
    """
    images = pa.Table.from_struct_array(gallery_choices(tally, request.flags.deciding)).to_pandas()
    table = NONE if images.empty else _gallery(request, images, say)
    request.output.put(GALLERY_FILE, table_bytes(table, {FINGERPRINT_KEY: fingerprint}))


def _gallery(request: Request, choices: pd.DataFrame, say: Say) -> pa.Table:
    read = request.config.read if isinstance(request.config, Scan) else None
    shards = {shard.id: shard for shard in request.plan.shards}
    groups = [(place, {name: shards[name] for name, _ in place}) for place in _places(choices)]
    make = GalleryRows(request.output, read, request.options)
    asked = [(make, *group) for group in groups]
    images = _together(list(unless_killed(GalleryRows.__call__, asked, lambda make, places, _: make(places, None))))
    missing = images["thumbnail"].null_count
    if missing and read:
        say(f"{missing} of {len(images)} images of the gallery could not be read again")
    return _with_choices(images, choices, {score_column(name): name for name in request.methods})


@dataclass(frozen=True)
class GalleryRows:
    """Makes rows of the gallery from score tables. `read`: how images are read, None if there are none."""

    output: Directory
    read: Read | None
    options: Mapping[str, Any] = field(repr=False)

    def __call__(self, places: Places, shards: Mapping[str, Shard] | None) -> pa.Table:
        """The rows at the places, with thumbnails if their shards, by id, are given."""
        tables = [read_table(self.output, shard_file(SCORES, shard)).take(rows) for shard, rows in places]
        table = _together([part.replace_schema_metadata(None) for part in tables])
        found: list[bytes | None] = [None] * len(table)
        if shards and self.read:
            lie_at = table.select(list(LOCATOR)).to_pylist()
            of_shards = [shards[name] for name in table["shard"].to_pylist()]
            found = [self._thumbnail(*one, self.read) for one in zip(lie_at, of_shards, strict=True)]
        return table.append_column("thumbnail", pa.array(found, pa.binary()))

    def _thumbnail(self, place: Mapping[str, Any], shard: Shard, read: Read) -> bytes | None:
        try:
            content = read_planned(shard, place, read, self.options)
            return thumbnail(content, read.max_image_pixels, read.max_jpeg_scans)
        except (ReadError, DecodeError):
            return None


def _places(choices: pd.DataFrame) -> list[Places]:
    """The places of the chosen images, in groups for a task each."""
    groups: list[Places] = []
    count = IMAGES_A_TASK
    for shard, rows in choices.groupby("shard")["index"]:
        if count >= IMAGES_A_TASK:
            groups.append([])
            count = 0
        distinct = np.unique(rows.to_numpy()).tolist()
        groups[-1].append((str(shard), distinct))
        count += len(distinct)
    return groups


def _together(tables: Sequence[pa.Table]) -> pa.Table:
    """All rows, in the columns that every table has in one type: others that come along with embeddings may differ."""
    first, *others = (table.schema for table in tables)
    names = [field.name for field in first if all(field in other for other in others)]
    return pa.concat_tables([table.select(names) for table in tables])


def _with_choices(images: pa.Table, choices: pd.DataFrame, methods: dict[str, str]) -> pa.Table:
    """A row for each choice, in the order of methods, kinds and scores. `methods`: by their column."""
    places = pd.DataFrame({name: images[name].to_pylist() for name in ("shard", "index")})
    at = choices.merge(places.reset_index(names="place"), on=["shard", "index"], validate="many_to_one")
    at["method"] = [methods[column] for column in at["column"]]
    scores = {name: images[name].to_numpy() for name in at["column"].unique()}
    at["score"] = [scores[column][place] for column, place in zip(at["column"], at["place"], strict=True)]
    at["sign"] = np.where(at["kind"] == "highest", -at["score"], at["score"])
    at = at.sort_values(["column", "kind", "sign", "shard", "index"])
    ranks = at.groupby(["column", "kind"]).cumcount()
    found = images.take(pa.array(at["place"].to_numpy()))
    for place, (name, values) in enumerate({"method": at["method"], "kind": at["kind"], "rank": ranks}.items()):
        found = found.add_column(place, name, pa.array(values.to_numpy()))
    return found
