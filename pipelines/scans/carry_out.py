"""The one way in which scans and rescorings run: begin or resume, go through the steps, finish."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ood_core.methods import bases_of, learners_of, of_images
from pipelines.config.pools import ScorePool
from pipelines.consensus.asked import Asked
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.summary import consensus_summary, reference_remarks
from pipelines.consensus.verdict_summary import verdict_remarks
from pipelines.errors import CallerError, WriteError, cause_of, first_line
from pipelines.flags.summary import flags_summary, is_flagged
from pipelines.inputs.plan import Shard
from pipelines.inputs.readers.record import UNREAD
from pipelines.memory.summary import learned_summary, rounds_remarks, rounds_summary
from pipelines.runtime.progress import Say
from pipelines.scan_directory.finish import finish
from pipelines.scan_directory.identity import (
    Fingerprints,
    begin,
    check_unchanged,
    mend_plan,
    record_nightly,
    recorded_fingerprints,
)
from pipelines.scan_directory.known import Known, known_shards
from pipelines.scan_directory.layout import (
    CANDIDATES,
    ENCODED,
    GALLERY_FILE,
    REFERENCE,
    REPORT_FILE,
    SCORED,
    SUCCESS_FILE,
    committed,
    remove_unfinished,
)
from pipelines.scan_directory.lease import Lease, leased
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.new_scan import check_not_read, clear
from pipelines.scan_directory.run import Run
from pipelines.scan_directory.summary import Clock, Tally
from pipelines.scans.judge_images import is_judged, judge_images
from pipelines.scans.leftovers import Leftovers
from pipelines.scans.request import Request
from pipelines.scans.step import run_steps
from pipelines.verdicts.kept import keep

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster
    from pipelines.scans.placement import Placement

Place = Callable[[Request, "Cluster", Say], "Placement"]
"""Places a request on a cluster. Raises CallerError for mistakes that only workers can find."""

NAMED = 20
"""Files that are not whole and are named one by one."""


@dataclass(frozen=True)
class Start:
    """How a run starts. `new_scan`: what an earlier scan has left is removed, once every check has passed; `take_over`:
    a stale lease of another driver counts for nothing, see `leased`."""

    address: str | None = None
    new_scan: bool = False
    take_over: bool = False


def carry_out(request: Request, place: Place, start: Start, say: Say) -> dict[str, Any]:
    """Scores what is not committed yet, and returns the summary of the whole, as in `summary.json`.

    Raises CallerError for mistakes that only workers can find, and for an output that cannot be written to.
    """
    started = time.time()
    if start.new_scan:
        check_not_read(request.output, request.reads())
    with leased(request.output, start.take_over, say) as lease:
        if request.verdicts:
            keep(request.output, request.verdicts)
        left = None if start.new_scan else _leftovers(request, say)
        known = _known(request, left) if left else Known(None, Tally(), {}, frozenset())
        done = known.tally.shards()
        remaining = [shard for shard in request.plan.shards if shard.id not in done]
        lost = _lost(request, left, known.tally) if left else []
        _say_what_is_known(request, known, lost, say)
        work = _Work(request, known, remaining, known.manifest, lease, say, started)
        performance: dict[str, Any] = {"images": 0}
        flagged = is_flagged(request.output, request.flags, known.tally)
        ready = flagged and _takes_all_verdicts(request, known.tally) and is_judged(request)
        if remaining or lost or not ready or not request.output.exists(GALLERY_FILE):
            performance = work.done(place, start, left, bool(remaining or lost))
        return _ended(request, known.tally, work.manifest, performance, say)


@dataclass
class _Work:
    """What one run does. `known`: what is committed, whose tally grows; `remaining`: the shards that are not.

    `started`: seconds since the epoch; `scored`: shards that have scores, once it is only flags that are to be made.
    """

    request: Request
    known: Known
    remaining: Sequence[Shard]
    manifest: Manifest | None
    lease: Lease
    say: Say
    started: float
    scored: int = 0

    def done(self, place: Place, start: Start, left: Leftovers | None, steps: bool) -> dict[str, Any]:
        """Has the steps commit what is missing, if there are `steps` to do, and makes the gallery.

        Returns how the run went, for the summary.
        """
        from pipelines.runtime.cluster import cluster
        from pipelines.scans.make_gallery import make_gallery

        known, performance = left.fingerprints if left else Fingerprints.one(""), dict[str, Any](images=0)
        with cluster(start.address) as found, self._telling_how_far():
            if steps:
                if left:
                    left.check_shards()
                placement = place(self.request, found, self.say)
                known = _begin(self.request, placement, start.new_scan)
                performance = self._steps(placement, known)
            if not is_judged(self.request):
                self.request = judge_images(self.request, found, self.say)
            self._revise(known, found)
            self._flags(known, found)
            make_gallery(self.request, self.known.tally, known.whole, self.say)
        return performance

    def _steps(self, placement: "Placement", known: Fingerprints) -> dict[str, Any]:
        from pipelines.scans.steps import steps_of

        tally, before = self.known.tally, self.known.tally.records
        run = self._run(known, placement.lanes)
        with ExitStack() as opened:
            opened.callback(run.manifest.flush)
            told = run_steps(steps_of(self.request, placement, run, opened), self.remaining)
        return run.clock.described(time.time()) | {"images": tally.records - before} | told

    def _revise(self, known: Fingerprints, found: "Cluster") -> None:
        """Has the scores by neighbours made anew where they take other verdicts in than they are to."""
        from pipelines.consensus.revise import Revision
        from pipelines.runtime.pools import fit_scorers
        from pipelines.scans.score_reference import revise_reference

        request = self.request
        asked = Asked.of(request.methods, bool(request.verdicts))
        if asked and not _takes_all_verdicts(request, self.known.tally):
            self.scored = len(self.known.tally.shards())
            run, pool = self._run(known, {}), fit_scorers(ScorePool(), "cpu", found)
            revision = Revision(run, asked, tuple(request.methods), request.verdicts, pool)
            sums = revision.sum_up()
            if request.reference:
                revise_reference(run, request.reference.plan.shards, asked, of_images(request.methods), pool)
            revision.score(sums)
            run.manifest.flush()

    def _flags(self, known: Fingerprints, found: "Cluster") -> None:
        """Has every score table flagged, unless they are."""
        from pipelines.flags.step import FlagStep
        from pipelines.runtime.pools import fit_scorers

        request = self.request
        if not is_flagged(request.output, request.flags, self.known.tally):
            record_nightly(request.output, request.config)
            self.scored = len(self.known.tally.shards())
            run = self._run(known, {})
            FlagStep(run, request.flags, tuple(request.methods), fit_scorers(ScorePool(), "cpu", found)).run()
            run.manifest.flush()

    def _run(self, known: Fingerprints, lanes: Mapping[str, int]) -> Run:
        """This run, for steps. `known`: the scan's fingerprints."""
        manifest = self.manifest = self.manifest or Manifest(self.request.output, known.whole)
        return Run(
            self.request.output,
            known,
            self.request.plan.shards,
            self.known.tally,
            Clock(self.started, lanes),
            self.say,
            manifest,
            self.known.again,
            self.lease,
        )

    @contextmanager
    def _telling_how_far(self) -> Iterator[None]:
        """Says how far the scan has come when it is interrupted, and when its output cannot be written to."""
        try:
            yield
        except BaseException as error:
            count = max(self.scored, len(self.known.tally.shards()))
            done = f"{count} of {len(self.request.plan.shards)} shards committed"
            if isinstance(error, KeyboardInterrupt):
                self.say(f"interrupted: {done}; the same command goes on")  # the cluster takes its time to end
                raise type(error)("") from None
            if unwritten := cause_of(error, WriteError):
                raise CallerError(f"--output {first_line(unwritten)}; {done}; the same command goes on") from error
            raise


def _leftovers(request: Request, say: Say) -> Leftovers | None:
    """What earlier runs have left, once it has been looked at; None if the scan was not begun."""
    recorded = recorded_fingerprints(request.output, request.methods, request.config.memory.freeze)
    if recorded is None:
        return None
    if mend_plan(request.output, request.plan):
        say("plan.parquet is damaged; it is written again")
    left = Leftovers(request.output, recorded, say)
    left.check_own()
    return left


def _known(request: Request, left: Leftovers) -> Known:
    """What is committed already. In streaming order a shard must have its candidates too: no later step makes them."""
    lost: frozenset[str] = frozenset()
    if learners_of(of_images(request.methods), "streaming") and not request.config.memory.freeze:
        lost = frozenset(committed(request.output) - committed(request.output, CANDIDATES))
    ids, embeddings = [shard.id for shard in request.plan.shards], request.config.keeps_embeddings
    return known_shards(request.output, left.fingerprints, ids, embeddings, not request.learns, lost)


def _takes_all_verdicts(request: Request, tally: Tally) -> bool:
    """Whether the scores by neighbours take in the verdicts that there are."""
    now = request.verdicts.digest if request.verdicts else None
    return not bases_of(request.methods) or tally.verdicts <= {now}


def _lost(request: Request, left: Leftovers, tally: Tally) -> list[str]:
    reference = request.reference.plan.shards if request.reference else ()
    tells_thresholds = bool(request.flags.by_reference(request.methods))
    has_verdicts = bool(request.verdicts)
    if not _takes_all_verdicts(request, tally):  # which is mended later
        has_verdicts = ConsensusFiles(request.output, "").has_verdicts()
    return left.lost(request.config, request.plan.shards, tally.shards(), reference, tells_thresholds, has_verdicts)


def _say_what_is_known(request: Request, known: Known, lost: Sequence[str], say: Say) -> None:
    shards, tally = request.plan.shards, known.tally
    say(f"{len(shards)} shards planned, {len(tally.shards())} already committed")
    if request.since:
        say(request.since.line(request.first_folder, request.learns))
    if request.planned.gone:
        say(f"{request.planned.gone} shards that were planned are gone from the input; what is committed of them stays")
    lines = [f"{line}; its shard is done again" for line in known.damaged.values()]
    lines += [f"{name} is missing; it is made again" for name in lost]
    for line in lines[:NAMED]:
        say(line)
    if len(lines) > NAMED:
        say(f"{len(lines)} files in all are not whole")
    if known.unread:
        say(f"{len(known.unread)} shards that could not be read are tried again")
    elif unread := len(tally.shards_with((UNREAD,))) if tally.statuses[UNREAD] else 0:
        say(f"{unread} shards could not be read; other images' scores depend on what was: --new-scan tries them again")


def _begin(request: Request, placement: "Placement", new_scan: bool) -> Fingerprints:
    """Records the scan in its directory, unless an earlier run has, and returns its fingerprints."""
    identity = {**request.identity(), **placement.identity}
    if request.since:
        request.since.check_identity(identity)
    if new_scan:
        clear(request.output)
    if not check_unchanged(request.output, identity, request.plan):
        begin(request.output, request.config, identity, request.plan)
    for name in (SUCCESS_FILE, GALLERY_FILE, REPORT_FILE):
        request.output.remove(name)
    return Fingerprints.of_identity(identity, request.methods, request.config.memory.freeze)


def _ended(
    request: Request, tally: Tally, manifest: Manifest | None, performance: dict[str, Any], say: Say
) -> dict[str, Any]:
    """The summary of the whole, written; what only steps have needed is removed."""
    output = request.output
    learned = learned_summary(output, request.methods, request.config.memory, request.bank)
    learned |= consensus_summary(output, request.methods, request.bank.texts)
    if manifest:
        manifest.replace(tally)
    remove_unfinished(output)
    learned |= rounds_summary(output, request.config, request.bank)
    for remark in itertools.chain(reference_remarks(learned), verdict_remarks(learned), rounds_remarks(learned)):
        say(remark)
    flags = flags_summary(output, tally, request.config.max_flagged)
    summary = finish(output, request.plan, request.config, tally, performance, {"learned": learned, **flags})
    for folder in (SCORED, REFERENCE, *([] if request.config.keep_encoded else [ENCODED])):
        output.remove(folder)
    return summary
