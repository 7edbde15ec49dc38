"""What is committed of a scan already, and is whole: told by the manifest, or found in the files."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipelines.inputs.listing import REQUESTS_AT_ONCE
from pipelines.inputs.readers.record import UNREAD
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.identity import Fingerprints
from pipelines.scan_directory.layout import EMBEDDINGS, SCORES, committed_files, shard_file
from pipelines.scan_directory.manifest import Manifest, ToldFile
from pipelines.scan_directory.receipts import Receipt, digest_of, receipts_table
from pipelines.scan_directory.summary import Tally
from pipelines.scan_directory.whole import NotWholeError
from pipelines.storage import Directory, Entry


@dataclass(frozen=True)
class Known:
    """The committed shards of a scan. `tally`: of those that count; `damaged`: what is wrong with the files of others,
    by shard; `unread`: others with records that could not be read. Both are done again. `manifest`: None of a scan that
    was not begun."""

    manifest: Manifest | None
    tally: Tally
    damaged: Mapping[str, str]
    unread: frozenset[str]

    @property
    def again(self) -> frozenset[str]:
        return self.unread.union(self.damaged)


def known_shards(
    output: Directory,
    fingerprints: Fingerprints,
    shards: Iterable[str],
    embeddings: bool = False,
    retry: bool = False,
    lost: Iterable[str] = (),
) -> Known:
    """What is committed of these shards, which must have `embeddings` beside their scores if these are kept.

    A file that the manifest does not tell of, or that was written after the manifest, is read. If what the manifest
    tells is not so, all are read, since its receipts are added up. With `retry`, shards that could not be read do not
    count either, nor do those of which other files are `lost`.
    """
    found = _Files(output, fingerprints.scores, embeddings)
    manifest = Manifest(output, fingerprints.whole)
    tally = manifest.told()
    damaged = {shard: f"{shard_file(SCORES, shard)}: what it offered the memory is missing" for shard in sorted(lost)}
    damaged |= found.missing() | found.changed(manifest.files)
    if damaged or not found.agree(manifest.files) or (retry and tally.statuses[UNREAD]):
        tally = Tally()
    told = tally.shards()
    untold = sorted((set(shards) & found.scores.keys()) - told - damaged.keys())
    receipts, not_whole = found.receipts(untold)
    unread = frozenset(one["shard"] for one in receipts if retry and UNREAD in dict(one["statuses"]))
    receipts = [receipt for receipt in receipts if receipt["shard"] not in unread]
    if not told:
        manifest.clear()
    if receipts:
        table = receipts_table(receipts)
        tally.add(table)
        manifest.add(table)
    return Known(manifest, tally, damaged | not_whole, unread)


class _Files:
    """The score tables that are listed, and the tables of embeddings if they are kept."""

    def __init__(self, output: Directory, fingerprint: str, embeddings: bool) -> None:
        self.output, self.committer, self.kept = output, Committer(output, fingerprint), embeddings
        self.scores = committed_files(output, SCORES)
        self.embeddings = committed_files(output, EMBEDDINGS) if embeddings else {}

    def missing(self) -> dict[str, str]:
        """A line for each shard that has scores and no embeddings, though they are kept."""
        lost = self.scores.keys() - self.embeddings.keys() if self.kept else ()
        return {shard: f"{shard_file(EMBEDDINGS, shard)}: it is missing" for shard in sorted(lost)}

    def agree(self, told: Mapping[str, ToldFile]) -> bool:
        """Whether every file that is told of is there."""
        return told.keys() <= self.scores.keys()

    def changed(self, told: Mapping[str, ToldFile]) -> dict[str, str]:
        """A line for each shard of which a file is not the one that was committed."""
        doubted = {}
        for shard, file in told.items():
            if self._doubtful(self.scores.get(shard), file.size, file.written):
                doubted[shard_file(SCORES, shard)] = shard, file.digest
            if self._doubtful(self.embeddings.get(shard), file.embeddings_size, file.written):
                doubted[shard_file(EMBEDDINGS, shard)] = shard, file.embeddings_digest
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            found = pool.map(self._digest, doubted)
            same = [digest in (None, now) for (_, digest), now in zip(doubted.values(), found, strict=True)]
        return {
            shard: f"{name}: it is not the file that was committed"
            for (name, (shard, _)), whole in zip(doubted.items(), same, strict=True)
            if not whole
        }

    def receipts(self, shards: Iterable[str]) -> tuple[list[Receipt], dict[str, str]]:
        """The receipts of the shards whose files are whole, and what is wrong with the others."""
        damaged: dict[str, str] = {}

        def receipt(shard: str) -> Receipt | None:
            try:
                return self.committer.receipt(shard, self.kept)
            except NotWholeError as error:
                damaged[shard] = str(error)
                return None

        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            found = [one for one in pool.map(receipt, shards) if one]
        return found, damaged

    def _digest(self, name: str) -> str:
        return digest_of(self.output.read(name))

    @staticmethod
    def _doubtful(entry: Entry | None, size: int | None, told: float | None) -> bool:
        """Whether a listed file has another size than was told at that time, or was written later."""
        if entry is None:
            return False
        return entry.size != size or (entry.written is not None and told is not None and entry.written >= told)
