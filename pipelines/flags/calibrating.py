"""Thresholds from a scan of images that belong: exact, however many there are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ood_core.calibration import ranks_keeping
from ood_core.methods import score_column
from pipelines.config.pools import ScorePool
from pipelines.errors import CallerError
from pipelines.flags.asked import CALIBRATE
from pipelines.flags.thresholds import MethodThreshold
from pipelines.runtime.spread import over_tasks, ranges
from pipelines.scan_directory.layout import MANIFEST, SCORES, read_table, shard_file
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.record import ScanRecord
from pipelines.scan_directory.sketch import Sketch, places_of
from pipelines.storage import Directory

FOUND = pa.schema({"column": pa.string(), "value": pa.float64()})
FEW = 20
"""Fewer images than this say nothing of where five in a hundred lie."""


def calibrated(scan: ScanRecord, methods: Iterable[str], keep: float, pool: ScorePool) -> dict[str, MethodThreshold]:
    """The threshold of each of the methods that the scan has scores by: the highest that keeps the share `keep` of it.

    The scan's sketches tell in which of their buckets it lies; the scores in these are then read. Raises CallerError if
    the scan has too few scores, or tables that are not those of its manifest.
    """
    url, columns = scan.directory.url, {name: score_column(name) for name in methods if name in scan.methods}
    tally = Manifest(scan.directory, scan.fingerprint).told()
    if tally.shards() != set(scan.shards):
        raise CallerError(f"{CALIBRATE} {url!r} cannot be read: its {MANIFEST}/ is damaged or not complete")
    if tally.scored < FEW:
        raise CallerError(
            f"{CALIBRATE} {url!r} has {tally.scored} scored images; at least {FEW} have to tell what belongs"
        )
    sought = {name: Sought.of(tally.sketches[column], keep) for name, column in columns.items()}
    values = _values(scan, {columns[name]: one.buckets for name, one in sought.items()}, pool)
    found: dict[str, MethodThreshold] = {}
    for name, one in sought.items():
        cuts = one.cuts(values[columns[name]])
        if cuts is None:
            raise CallerError(f"{CALIBRATE} {url!r} cannot be read: its {SCORES}/ are not what its {MANIFEST}/ tells")
        found[name] = MethodThreshold(cuts[0], "calibrated", cuts[1], cuts[2], url, keep, one.images)
    return found


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


def _values(scan: ScanRecord, wanted: Mapping[str, Sequence[int]], pool: ScorePool) -> dict[str, np.ndarray]:
    """All scores of each column that lie in its wanted buckets."""
    blocks = [pa.table({"id": list(group)}) for group in ranges(scan.shards, pool.workers or 1)]
    tables = over_tasks(pool, blocks, values_in, scan.directory, wanted)
    table = pa.concat_tables([FOUND.empty_table(), *tables])
    columns, values = np.array(table["column"].to_pylist(), object), table["value"].to_numpy()
    return {name: values[columns == name] for name in wanted}


def values_in(scan: Directory, wanted: Mapping[str, Sequence[int]], shards: pa.Table) -> Iterator[pa.Table]:
    """The scores of some shards that lie in the wanted buckets of their column."""
    for shard in shards["id"].to_pylist():
        table = read_table(scan, shard_file(SCORES, shard), list(wanted))
        for name, buckets in wanted.items():
            values = table[name].drop_null().to_numpy()
            values = values[np.isin(places_of(values), buckets)]
            yield pa.table([[name] * len(values), values], schema=FOUND)
