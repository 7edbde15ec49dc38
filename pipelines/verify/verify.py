"""Checks that a scan is whole: every planned record exactly once, every file readable, every fingerprint the same."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ood_core.methods import deciding_method
from pipelines.consensus.files import consensus_files
from pipelines.memory.files import memory_files
from pipelines.memory.rounds import rounds_files
from pipelines.scan_directory.layout import GALLERY_FILE, missing_files
from pipelines.storage import Directory
from pipelines.verify.consensus import ConsensusCheck
from pipelines.verify.flags import check_counted, check_flags, thresholds
from pipelines.verify.manifest import Told, stray_files, told_by_manifest
from pipelines.verify.memory import MemoryCheck
from pipelines.verify.recorded import Recorded, recorded_scan
from pipelines.verify.rounds import check_rounds
from pipelines.verify.shards import check_embeddings, check_input, score_table
from pipelines.verify.summary import GalleryCheck, check_summary
from pipelines.verify.tables import Inspection


@dataclass(frozen=True)
class Verification:
    """What was checked, and a line for each problem."""

    shards: int
    records: int
    problems: list[str]

    def to_json(self) -> dict[str, Any]:
        return vars(self)


def verify(url: str, options: Mapping[str, Any], tables: bool = False, reread: bool = False) -> Verification:
    """Checks a scan directory by its manifest: that every planned shard is committed, in a file of the recorded size.

    `tables` reads every table too, and compares what it holds with its digest, the plan, the memory and the consensus;
    `reread` also reads the input again and compares every record's key. Whatever the files hold is a problem and no
    exception. Raises CallerError if there is no scan.
    """
    found = Inspection(Directory(url, options))
    scan = recorded_scan(found, url)
    if scan is None:
        return Verification(0, 0, found.problems)
    found.fingerprints = scan.fingerprints
    told = told_by_manifest(found, scan, listed=not (tables or reread))
    names = [
        *memory_files(scan.config, scan.shards),
        *rounds_files(scan.config),
        *consensus_files(scan.config, scan.shards, has_verdicts=scan.has_verdicts),
    ]
    counted = None
    if tables or reread:
        counted = _check_tables(found, scan, told, options if reread else None)
    else:
        lost = missing_files(found.output, [GALLERY_FILE, *names])
        found.problems += [f"{name} is missing" for name in lost]
        thresholds(found, scan)
    stray_files(found, scan, names)
    check_counted(found, told.tally)
    statuses = counted if told.tally is None else told.tally.statuses
    check_summary(found, statuses, told.tally)
    return Verification(len(scan.shards), (statuses or Counter()).total(), list(dict.fromkeys(found.problems)))


def _check_tables(
    found: Inspection, scan: Recorded, told: Told, reread: Mapping[str, Any] | None
) -> Counter[str] | None:
    """Checks every table; returns how many records have each status, None if a score table is not what it should be.

    `reread`: options of the storage, if the input is to be read again.
    """
    statuses, whole = Counter[str](), True
    memory, consensus = MemoryCheck(found, scan), ConsensusCheck(found, scan)
    flags = thresholds(found, scan)
    gallery = GalleryCheck(found, scan, told.tally, flags.deciding if flags else deciding_method(scan.methods))
    for shard in scan.shards:
        scores = score_table(found, scan, shard, told)
        if scan.config.keeps_embeddings:
            check_embeddings(found, scores, shard, told)
        memory.look_at(shard, scores)
        consensus.look_at(shard, scores)
        whole = whole and scores is not None
        if scores is not None:
            statuses += scores.statuses
            if flags is not None:
                check_flags(found, scores, flags)
            if scores.committed:
                gallery.look_at(scores)
            if reread is not None:
                check_input(found, scores, scan.config, reread)
    memory.compare()
    check_rounds(found, scan)
    consensus.compare()
    found.check_dimensions()
    return statuses if whole else None
