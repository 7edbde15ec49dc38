"""What of a scan's memory and consensus is lost or damaged; what is damaged goes, so that the steps make it again."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from ood_core.methods import learners_of, of_images
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.consensus.files import ConsensusFiles, consensus_files
from pipelines.inputs.plan import Shard
from pipelines.memory.files import MemoryFiles, memory_files
from pipelines.memory.rounds import rounds_files
from pipelines.runtime.progress import Say
from pipelines.scan_directory.identity import Fingerprints
from pipelines.scan_directory.layout import (
    ANCHORS,
    CANDIDATES,
    CONSENSUS,
    ENCODED,
    GALLERY_FILE,
    MEMORY,
    OF_REFERENCE,
    REFERENCE,
    REFERENCE_SCORES,
    REFERENCE_SUMS,
    REFERENCE_VOTES,
    SCORED,
    SUMS,
    VERDICT_SUMS,
    VERDICT_VOTES,
    VERDICTS,
    VOTES,
    WITH_VERDICTS,
    committed,
    missing_files,
    names_a_file,
    shard_file,
    shard_of,
)
from pipelines.scan_directory.whole import NotWholeError, whole_table
from pipelines.storage import Directory

OF_SHARDS = (ENCODED, SCORED, CANDIDATES, VERDICTS, VOTES, REFERENCE, REFERENCE_VOTES, REFERENCE_SCORES)
"""The folders that hold a file a shard, read by steps, of which no manifest tells."""
FILES_A_TASK = 64


@dataclass(frozen=True)
class Leftovers:
    """What earlier runs have left of a scan beside its score tables, for a run that goes on."""

    output: Directory
    fingerprints: Fingerprints
    say: Say

    def check_own(self) -> None:
        """Removes what is not whole of the files that a scan has one of: gallery, memory, anchors, sums."""
        folders = {folder: self.output.names(folder) for folder in (MEMORY, CONSENSUS)}
        names = [f"{folder}/{name}" for folder, found in folders.items() for name in found]
        for name in filter(names_a_file, names + [GALLERY_FILE] * self.output.exists(GALLERY_FILE)):
            if why := _damage(self.output, self.fingerprints, name):
                self._remove(name, why)

    def check_shards(self) -> None:
        """Removes what is not whole of the files of which each shard has one.

        By tasks of the cluster, since there may be very many.
        """
        import ray

        names = [shard_file(folder, shard) for folder in OF_SHARDS for shard in sorted(committed(self.output, folder))]
        task: Any = ray.remote(_damages)
        groups = [names[start : start + FILES_A_TASK] for start in range(0, len(names), FILES_A_TASK)]
        for found in [task.remote(self.output, self.fingerprints, group) for group in groups]:
            damages: Any = ray.get(found)
            for name, why in damages.items():
                self._remove(name, why)

    def lost(
        self,
        config: Scan | Rescore,
        shards: Sequence[Shard],
        done: Container[str],
        reference: Sequence[Shard] = (),
        tells_thresholds: bool = False,
        has_verdicts: bool = False,
    ) -> list[str]:
        """The files that this scan should have, and has not; what was learned from them goes too.

        `reference`: its shards; `done`: the shards that have their scores: what they were made by must be there. In
        streaming order the memory as a whole is written when all are done. A reference that `tells_thresholds` is
        scored after them. `has_verdicts`: whether the sums take verdicts in.
        """
        left = sum(shard.id not in done for shard in shards)
        whole = not left or (left < len(shards) and not learners_of(of_images(config.methods()), "streaming"))
        names = [
            *memory_files(config, shards),
            *rounds_files(config),
            *consensus_files(config, shards, reference, has_verdicts),
        ]
        due = [name for name in names if (shard_of(name) in done if _is_of_scan(name) else whole)]
        if tells_thresholds and not left:
            due += [shard_file(REFERENCE_SCORES, shard.id) for shard in reference]
        missing = list(missing_files(self.output, due))
        self._forget(missing)
        return missing

    def _remove(self, name: str, why: str) -> None:
        self.say(f"{name}: {why}; it is made again")
        self.output.remove(name)
        if name == ANCHORS:
            ConsensusFiles(self.output, self.fingerprints.whole).clear()
        elif name.startswith((SUMS, OF_REFERENCE, REFERENCE_SUMS, WITH_VERDICTS)):
            ConsensusFiles(self.output, self.fingerprints.whole).remove_sums()
        elif name in (VERDICT_SUMS, VERDICT_VOTES):
            ConsensusFiles(self.output, self.fingerprints.whole).forget_told()
        self._forget([name])

    def _forget(self, names: Sequence[str]) -> None:
        if any(name.startswith(f"{REFERENCE_VOTES}/") for name in names):
            ConsensusFiles(self.output, self.fingerprints.whole).forget_reference()
        shards = [shard_of(name) for name in names if name.startswith((f"{CANDIDATES}/", f"{VERDICTS}/"))]
        if shards:
            MemoryFiles(self.output, self.fingerprints.whole, 0).forget(shards)


def _damages(output: Directory, fingerprints: Fingerprints, names: Sequence[str]) -> dict[str, str]:
    """What is wrong with each of the files that are not whole."""
    return {name: why for name in names if (why := _damage(output, fingerprints, name))}


def _damage(output: Directory, fingerprints: Fingerprints, name: str) -> str | None:
    try:
        whole_table(
            output.read(name), fingerprints.of(name.partition("/")[0]), shard_of(name) if _is_of_shard(name) else None
        )
    except NotWholeError as error:
        return str(error)
    except FileNotFoundError:  # it went with another
        return None
    return None


def _is_of_scan(name: str) -> bool:
    """Whether a file is of one of the scan's own shards."""
    return _is_of_shard(name) and not name.startswith(f"{REFERENCE_VOTES}/")


def _is_of_shard(name: str) -> bool:
    return name.startswith(tuple(f"{folder}/" for folder in OF_SHARDS))
