"""`oodscan retry`: reads again only the records that are in error, and puts their rows in place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.inputs.plan import Shard
from pipelines.runtime.progress import Say, quiet
from pipelines.scan_directory.identity import Fingerprints, check_unchanged
from pipelines.scan_directory.known import known_shards
from pipelines.scan_directory.layout import (
    EMBEDDINGS,
    ENCODED,
    PLAN_FILE,
    SCAN_FILE,
    SCORES,
    SUMMARY_FILE,
    THRESHOLDS_FILE,
    committed,
    files_of,
)
from pipelines.scan_directory.lease import Lease, leased
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.record import ScanRecord
from pipelines.scan_directory.run import Run
from pipelines.scan_directory.summary import Clock, Tally
from pipelines.scans.request import Request
from pipelines.scans.scan import planned_images, scan
from pipelines.storage import Directory

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster


@dataclass(frozen=True)
class Retried:
    """What came of it. `summary`: of the whole scan; `tried`: shards with records in error; `mended`: records that have
    scores now."""

    summary: Mapping[str, Any]
    tried: int
    mended: int


def retry(url: str, options: Mapping[str, Any], *, address: str | None = None, say: Say = quiet) -> Retried:
    """Reads again what is in error of an ended scan of images, scores it, and ends the scan anew.

    Where scores depend on all images, all are scored again, from the encoded rows. Raises CallerError if it is no such
    scan, has not kept these rows, or its input has changed.
    """
    from pipelines.runtime.cluster import cluster

    output = Directory(url, options)
    config, record = _config(output)
    request = Request.prepare(config, options, planned_images, new_scan=False)
    before = known_shards(output, record.fingerprints, record.shards, config.keeps_embeddings).tally
    bad = before.shards_in_error()
    shards, folder = [shard for shard in request.plan.shards if shard.id in bad], request.first_folder
    if folder == ENCODED and set(record.shards) - committed(output, ENCODED):
        raise CallerError(
            f"SCAN {url!r}: its scores depend on all images, and it has not kept its encoded rows (--keep-encoded); "
            "scan with --new-scan"
        )
    with cluster(address) as found:
        if shards:
            say(f"{before.records - before.scored} records are in error, in {len(shards)} shards")
            with leased(output, say=say) as lease:
                _read_again(request, found, shards, lease, say)
        summary = scan(config, options, address=address, say=say)
    return Retried(summary, len(shards), summary["statuses"].get("ok", 0) - before.scored)


def _config(output: Directory) -> tuple[Scan, ScanRecord]:
    record, said = ScanRecord.read(output), f"SCAN {output.url!r}"
    if not isinstance(record.config, Scan):
        raise CallerError(f"{said} is a rescoring, which has no images to read again: rescore with --new-scan")
    if not output.exists(SUMMARY_FILE):
        raise CallerError(f"{said} has not ended: it has no {SUMMARY_FILE}; the scan's own command goes on")
    return record.config, record


def _read_again(request: Request, found: "Cluster", shards: Sequence[Shard], lease: Lease, say: Say) -> None:
    """Has encoders read the records in error of these shards again, and put their rows in place."""
    from pipelines.scans.encode_images import EncodeImagesStep
    from pipelines.scans.place_images import place_images
    from pipelines.scans.steps import first_step_of
    from pipelines.scans.workers.retry import RecordsInError, RetryCommitter

    output, folder, methods = request.output, request.first_folder, request.methods
    placement = place_images(request, found, say)
    identity = {**request.identity(), **placement.identity}
    check_unchanged(output, identity, request.plan)
    fingerprints = Fingerprints.of_identity(identity, methods, request.config.memory.freeze)
    manifest = Manifest(output, fingerprints.whole)
    run = Run(output, fingerprints, shards, Tally(), Clock(0.0, {}), say, manifest, lease=lease)
    _forget(output, folder)
    step = first_step_of(request, placement, run)
    if not isinstance(step, EncodeImagesStep):
        raise TypeError("images are encoded first")
    step = replace(step, spec=replace(step.spec, source=RecordsInError(output, folder)))
    ours = run.committer(folder)
    committer = RetryCommitter(ours.output, ours.fingerprint, folder, whole=ours.whole)
    run.receive_some(folder, shards, step.receipts(committer, shards))
    manifest.clear()  # the receipts of some shards alone tell of no scan


def _forget(output: Directory, folder: str) -> None:
    """Removes what is made of the rows that are about to change, so that the scan makes it anew."""
    kept = {SCAN_FILE, PLAN_FILE, THRESHOLDS_FILE, SUMMARY_FILE}
    folders = {folder, EMBEDDINGS} if folder == SCORES else {folder}
    for paths in files_of(output):
        output.remove_files([path for path in paths if path not in kept and path.partition("/")[0] not in folders])
