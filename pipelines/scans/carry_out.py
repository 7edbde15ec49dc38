"""The one way in which scans and rescorings run: begin or resume, go through the steps, finish."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pipelines.consensus.summary import consensus_summary
from pipelines.inputs.readers.record import UNREAD
from pipelines.memory.summary import learned_summary
from pipelines.runtime.progress import Say
from pipelines.scan_directory.finish import finish, known_receipts
from pipelines.scan_directory.identity import begin, check_unchanged, fingerprint, recorded_fingerprint
from pipelines.scan_directory.layout import ENCODED, GALLERY_FILE, SCORED, SUCCESS_FILE
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.new_scan import check_not_read, clear
from pipelines.scan_directory.run import Run
from pipelines.scan_directory.summary import Clock, Tally
from pipelines.scans.request import Request
from pipelines.scans.step import run_steps

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster
    from pipelines.scans.placement import Placement

Place = Callable[[Request, "Cluster", Say], "Placement"]
"""Places a request on a cluster. Raises CallerError for mistakes that only workers can find."""


def carry_out(request: Request, place: Place, address: str | None, say: Say, new_scan: bool) -> dict[str, Any]:
    """Scores what is not committed yet, and returns the summary of the whole, as in `summary.json`.

    `new_scan`: what an earlier scan has left in the directory is removed, once every check has passed. Raises
    CallerError for mistakes that only workers can find.
    """
    started = time.time()
    shards, output = request.plan.shards, request.output
    known = None if new_scan else recorded_fingerprint(output)
    ids = [shard.id for shard in shards]
    found = known_receipts(output, known, ids, not request.learns) if known else (None, Tally(), frozenset[str]())
    manifest, tally, again = found
    done = tally.shards()
    remaining = [shard for shard in shards if shard.id not in done]
    say(f"{len(shards)} shards planned, {len(done)} already committed")
    if request.planned.gone:
        say(f"{request.planned.gone} shards that were planned are gone from the input; what is committed of them stays")
    if again:
        say(f"{len(again)} shards that could not be read are tried again")
    elif unread := len(tally.shards_with((UNREAD,))) if tally.statuses[UNREAD] else 0:
        say(f"{unread} shards could not be read; other images' scores depend on what was: --new-scan tries them again")
    performance: dict[str, Any] = {"images": 0}
    if new_scan:
        check_not_read(output, request.reads())
    if remaining or not output.exists(GALLERY_FILE):
        from pipelines.runtime.cluster import cluster
        from pipelines.scans.make_gallery import make_gallery
        from pipelines.scans.steps import steps_of

        with cluster(address) as found, ExitStack() as opened:
            if remaining:
                placement = place(request, found, say)
                known = _begin(request, placement, new_scan)
                manifest = manifest or Manifest(output, known)
                clock, before = Clock(started, placement.lanes), tally.records
                run = Run(output, known, shards, tally, clock, say, manifest, again)
                opened.callback(manifest.flush)
                told = run_steps(steps_of(request, placement, run, opened), remaining)
                performance = clock.described(time.time()) | {"images": tally.records - before} | told
            make_gallery(request, tally, known or "", say)
    learned = learned_summary(output, request.methods, request.config.memory, request.bank)
    learned |= consensus_summary(output, request.methods)
    if manifest:
        manifest.replace(tally)
    summary = finish(output, request.plan, request.config, tally, performance, learned)
    for folder in (ENCODED, SCORED):
        output.remove(folder)
    return summary


def _begin(request: Request, placement: "Placement", new_scan: bool) -> str:
    """Records the scan in its directory, unless an earlier run has, and returns its fingerprint."""
    identity = {**request.identity(), **placement.identity}
    if new_scan:
        clear(request.output)
    if not check_unchanged(request.output, identity, request.plan):
        begin(request.output, request.config, identity, request.plan)
    for name in (SUCCESS_FILE, GALLERY_FILE):
        request.output.remove(name)
    return fingerprint(identity)
