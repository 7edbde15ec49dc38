"""Thresholds from a scan of images that belong: exact, however many there are."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from ood_core.calibration import ranks_keeping
from ood_core.methods import score_column
from pipelines.config.pools import ScorePool
from pipelines.errors import CallerError
from pipelines.flags.asked import CALIBRATE, LEAST_IMAGES, too_few
from pipelines.flags.thresholds import MethodThreshold
from pipelines.runtime.spread import over_tasks, ranges
from pipelines.scan_directory.layout import MANIFEST, REFERENCE_SCORES, SCORES, read_table, shard_file
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import SKETCH, sketch_of
from pipelines.scan_directory.record import ScanRecord
from pipelines.scan_directory.sketch import Sketch, places_of
from pipelines.storage import Directory, storage_errors

FOUND = pa.schema({"column": pa.string(), "value": pa.float64()})
FEW_SHARDS = 64
"""So many are read here, in less time than tasks take to start."""


def calibrated(scan: ScanRecord, methods: Iterable[str], keep: float, pool: ScorePool) -> dict[str, MethodThreshold]:
    """The threshold of each of the methods that the scan has scores by: the highest that keeps the share `keep` of it.

    Raises CallerError if the scan has too few scores, or tables that are not those of its manifest.
    """
    url, chosen = scan.directory.url, [name for name in methods if name in scan.methods]
    belonging = Belonging(f"{CALIBRATE} {url!r}", scan.directory, SCORES, scan.shards)
    tally = Manifest(scan.directory, scan.fingerprint).told()
    if tally.shards() != set(scan.shards):
        raise CallerError(f"{belonging.said} cannot be read: its {MANIFEST}/ is damaged or not complete")
    cuts = belonging.cuts({name: tally.sketches.get(score_column(name), Sketch()) for name in chosen}, keep, pool)
    return {name: MethodThreshold(*cut[:1], "calibrated", *cut[1:3], url, keep, cut[3]) for name, cut in cuts.items()}


def calibrated_by_reference(
    output: Directory, shards: Sequence[str], methods: Iterable[str], keep: float, pool: ScorePool
) -> dict[str, MethodThreshold]:
    """The threshold of each of the methods that the scan has scored its reference's images by.

    `shards`: of the reference; none if they have too few images. Raises CallerError for tables that cannot be read.
    """
    belonging = Belonging("--reference", output, REFERENCE_SCORES, shards)
    there = set(read_table(output, shard_file(REFERENCE_SCORES, shards[0])).column_names) if shards else set()
    columns = {score_column(name): name for name in methods if score_column(name) in there}
    sketches = {name: Sketch() for name in columns.values()}
    for table in belonging.over(pool, partial(sketches_in, output, tuple(columns), folder=REFERENCE_SCORES)):
        for row in table.to_pylist():
            sketches[columns[row["column"]]].add(np.array(row["buckets"], int), np.array(row["counts"], int))
    cuts = belonging.cuts(sketches if belonging.fewest(sketches) >= LEAST_IMAGES else {}, keep, pool)
    return {name: MethodThreshold(*cut[:1], "reference", *cut[1:3], None, keep, cut[3]) for name, cut in cuts.items()}


@dataclass(frozen=True)
class Belonging:
    """Tables of the scores of images that belong. `said`: how messages call them; `shards`: one table each, in `folder`
    of the directory."""

    said: str
    directory: Directory
    folder: str
    shards: Sequence[str]

    def cuts(
        self, sketches: Mapping[str, Sketch], keep: float, pool: ScorePool
    ) -> dict[str, tuple[float, float, float, int]]:
        """By method the threshold that keeps the share, the ends of its interval, and how many images it is from.

        The sketches tell in which of their buckets these lie; the scores in these are then read. Raises CallerError if
        there are too few scores, or other tables than the sketches are of.
        """
        if sketches and self.fewest(sketches) < LEAST_IMAGES:
            raise too_few(self.said, self.fewest(sketches))
        sought = {name: Sought.of(sketch, keep) for name, sketch in sketches.items()}
        wanted = {score_column(name): one.buckets for name, one in sought.items()}
        parts = self.over(pool, partial(values_in, self.directory, wanted, folder=self.folder)) if wanted else ()
        with storage_errors(self.said):
            table = pa.concat_tables([FOUND.empty_table(), *parts])
        columns, values = np.array(table["column"].to_pylist(), object), table["value"].to_numpy()
        found = {}
        for name, one in sought.items():
            cuts = one.cuts(values[columns == score_column(name)])
            if cuts is None:
                raise CallerError(f"{self.said} cannot be read: its {self.folder}/ are not what was told of them")
            found[name] = (*cuts, one.images)
        return found

    @staticmethod
    def fewest(sketches: Mapping[str, Sketch]) -> int:
        """How many scores there are by the method that has the fewest."""
        return min((int(sketch.counted()[1].sum()) for sketch in sketches.values()), default=0)

    def over(self, pool: ScorePool, work: Callable[[pa.Table], Iterator[pa.Table]]) -> Iterator[pa.Table]:
        """What `work` yields of tables of the shards' ids: by tasks, or here if there are few."""
        blocks = [pa.table({"id": list(group)}) for group in ranges(self.shards, pool.workers or 1)]
        if len(self.shards) <= FEW_SHARDS:
            return itertools.chain.from_iterable(map(work, blocks))
        return over_tasks(pool, blocks, work)


@dataclass(frozen=True)
class Sought:
    """A threshold and the ends of its interval, of which it is known in which buckets of a sketch they lie.

    `ranks`: their places among all rising scores; `before`, `counts`: how many scores lie below each one's bucket, and
    in it.
    """

    images: int
    ranks: Sequence[int]
    buckets: Sequence[int]
    before: Sequence[int]
    counts: Sequence[int]

    @classmethod
    def of(cls, sketch: Sketch, keep: float) -> "Sought":
        buckets, counts = sketch.counted()
        ends = np.cumsum(counts)
        ranks = ranks_keeping(int(ends[-1]), keep)
        at = np.searchsorted(ends, ranks, side="right")
        parts = (buckets[at], ends[at] - counts[at], counts[at])
        return cls(int(ends[-1]), ranks, *(part.tolist() for part in parts))

    def cuts(self, values: np.ndarray) -> list[float] | None:
        """The threshold and the ends of its interval; None if these are not the scores that the sketch counts.

        `values`: all scores in the buckets.
        """
        values, cuts = np.sort(values), list[float]()
        places = places_of(values)
        for rank, bucket, before, count in zip(self.ranks, self.buckets, self.before, self.counts, strict=True):
            inside = values[places == bucket]
            if len(inside) != count:
                return None
            cuts.append(float(inside[rank - before]))
        return cuts


def values_in(
    directory: Directory, wanted: Mapping[str, Sequence[int]], shards: pa.Table, folder: str = SCORES
) -> Iterator[pa.Table]:
    """The scores of some shards that lie in the wanted buckets of their column."""
    for shard in shards["id"].to_pylist():
        table = read_table(directory, shard_file(folder, shard), list(wanted))
        for name, buckets in wanted.items():
            values = table[name].drop_null().to_numpy()
            values = values[np.isin(places_of(values), buckets)]
            yield pa.table([[name] * len(values), values], schema=FOUND)


def sketches_in(
    directory: Directory, columns: Sequence[str], shards: pa.Table, folder: str = SCORES
) -> Iterator[pa.Table]:
    """The sketch of each column of scores of some shards."""
    for shard in shards["id"].to_pylist():
        table = read_table(directory, shard_file(folder, shard), list(columns))
        yield pa.Table.from_pylist([sketch_of(name, table[name]) for name in columns], pa.schema(list(SKETCH)))
