"""What a scan takes over from last night's: the rows of shards that have not changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.inputs.plan import Shard, read_plan
from pipelines.inputs.readers.record import UNREAD
from pipelines.scan_directory.identity import Fingerprints, of_other_images
from pipelines.scan_directory.layout import ENCODED, PLAN_FILE, SUMMARY_FILE, committed
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.storage import Directory

SINCE = "--since"
NOT_OF_THE_IMAGES = (UNREAD, "crashed-worker", "too-slow")
"""Statuses that say nothing of a record itself: it may fare better tonight."""


@dataclass(frozen=True)
class Since:
    """An earlier scan, held against tonight's input.

    `unchanged`: the shards of tonight whose files are the same, by URL, size and version, and whose records were all
    read; `changed`, `gone`: ids of its other shards that are in tonight's input, and that are not; `new`: how many of
    tonight's it has not.
    """

    record: ScanRecord
    unchanged: Sequence[Shard]
    changed: Sequence[str]
    gone: Sequence[str]
    new: int

    def check_identity(self, identity: Mapping[str, Any]) -> None:
        """Raises CallerError, naming the first difference, if its rows are made otherwise than tonight's.

        `identity`: of tonight's scan, or the part that is known.
        """
        others = of_other_images(self.record.config.memory.freeze)
        for name, value in identity.items():
            if name not in others and self.record.identity.get(name) != value:
                raise CallerError(
                    f"{SINCE} {self.record.directory.url!r} is another scan: {name} was "
                    f"{self.record.identity.get(name)!r} and is now {value!r}; scan without it"
                )

    def usable(self, fingerprints: Fingerprints, folder: str) -> list[Shard]:
        """The shards whose tables in the folder are there and are those that tonight's scan would make.

        None in streaming order: there a shard's rows depend on those before, which its table alone does not remember.
        """
        wanted = fingerprints.of(folder)
        if wanted == fingerprints.whole or wanted != self.record.fingerprints.of(folder):
            return []
        there = committed(self.record.directory, folder)
        return [shard for shard in self.unchanged if shard.id in there]

    def states(self, shards: Sequence[Shard]) -> dict[str, str]:
        """Of each of tonight's shards whether it is unchanged, changed, unread (it could not all be read), or new."""
        states = dict.fromkeys((shard.id for shard in shards), "new")
        states |= {shard: "unread" for shard in self.record.shards if shard in states}
        states |= dict.fromkeys(self.changed, "changed")
        return states | dict.fromkeys((shard.id for shard in self.unchanged), "unchanged")

    @property
    def counts(self) -> str:
        """How many shards are the same, and how many are not, in a line."""
        others = f"{self.new} new, {len(self.changed)} changed, {len(self.gone)} gone"
        return f"since {self.record.directory.url}: {len(self.unchanged)} shards unchanged, {others}"

    def line(self, folder: str, learns: bool) -> str:
        """What is the same tonight, and why nothing of it can be taken over, if so, in a line.

        `folder`: of the first step; `learns`: whether scores depend on other images.
        """
        known = self.counts
        if folder == ENCODED and self.unchanged and not committed(self.record.directory, ENCODED):
            return (
                f"{known}; nothing is taken over: scores depend on all images, and it has not kept its encoded rows "
                "(--keep-encoded)"
            )
        if learns and folder != ENCODED:
            return f"{known}; nothing is taken over: scores depend on the images that came before"
        return known


def read_since(config: Scan | Rescore, options: Mapping[str, Any]) -> ScanRecord | None:
    """The earlier scan that is named; None if none is.

    Raises CallerError if it is no scan, is tonight's own, or has not ended.
    """
    if not config.since:
        return None
    said, place = f"{SINCE} {config.since!r}", Directory(config.since, options)
    if place.is_at(config.output):
        raise CallerError(f"{said} is --output itself: the same command goes on where a scan has stopped")
    record = ScanRecord.read(place, SINCE)
    if not place.exists(SUMMARY_FILE):
        raise CallerError(f"{said} is a scan that has not ended: it has no {SUMMARY_FILE}")
    return record


def held_against(record: ScanRecord, shards: Sequence[Shard]) -> Since:
    """An earlier scan, held against tonight's shards. Raises CallerError if its plan cannot be read."""
    place = record.directory
    with reading(place.url, PLAN_FILE, SINCE):
        before = {shard.id: shard for shard in read_plan(place.read(PLAN_FILE))}
    told = Manifest(place, record.fingerprint).told()
    read = told.shards() - set(told.shards_with(NOT_OF_THE_IMAGES))  # none, if the manifest is damaged
    now = {shard.id for shard in shards}
    same = [shard for shard in shards if shard.id in before and _is_same(shard, before[shard.id])]
    unchanged = {shard.id for shard in same}
    return Since(
        record=record,
        unchanged=[shard for shard in same if shard.id in read],
        changed=[shard.id for shard in shards if shard.id in before and shard.id not in unchanged],
        gone=[shard for shard in before if shard not in now],
        new=len(now - before.keys()),
    )


def _is_same(shard: Shard, before: Shard) -> bool:
    """Whether a shard has the same files, of known versions: without these, other content may have the same size."""
    return shard.fingerprint == before.fingerprint and all(version for _, _, version in shard.files)
