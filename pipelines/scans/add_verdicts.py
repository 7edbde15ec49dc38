"""`oodscan verdicts`: what reviewers have said of a scan's images is kept, and spread over the scan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.runtime.progress import Say, quiet
from pipelines.scan_directory.record import ScanRecord
from pipelines.scans.carry_out import Start, carry_out
from pipelines.scans.recorded import place_recorded, recorded_request
from pipelines.storage import Directory
from pipelines.verdicts.add import verdicts_on
from pipelines.verdicts.answers import Answer, read_answers
from pipelines.verdicts.kept import Verdicts


@dataclass(frozen=True)
class Added:
    """What came of it. `summary`: of the scan; `verdicts`: all that count now; `new`: how many more these are."""

    summary: Mapping[str, Any]
    verdicts: Verdicts
    new: int


def add_verdicts(
    url: str,
    files: Sequence[str],
    options: Mapping[str, Any],
    *,
    address: str | None = None,
    take_over: bool = False,
    say: Say = quiet,
) -> Added:
    """Keeps the answers in these files with the scan, and makes the scores that take them in anew.

    Without any file it only makes scores take in what is kept. Raises CallerError for a scan that has not ended, or
    takes no verdicts in, and for answers that are none, or on images that it has not.
    """
    answers = [answer for file in dict.fromkeys(files) for answer in read_answers(file, options)]
    return with_answers(ScanRecord.read(Directory(url, options)), answers, Start(address, take_over=take_over), say)


def with_answers(record: ScanRecord, answers: Sequence[Answer], start: Start, say: Say) -> Added:
    """The same for answers that have been read."""
    from pipelines.runtime.cluster import cluster

    request = recorded_request(record)
    with cluster(start.address) as found:
        new = verdicts_on(record, answers, request.bank.dim, found)
        request.verdicts.check_weights(new.weights, "the answers")
        before, both = request.verdicts, [request.verdicts.table, new.table]
        weights = before.weights or new.weights
        request = replace(request, verdicts=Verdicts.of(both, request.bank.dim, "the answers", weights))
        say(f"{len(request.verdicts) - len(before)} new verdicts, {len(request.verdicts)} in all")
        summary = carry_out(request, place_recorded, start, say)
    return Added(summary, request.verdicts, len(request.verdicts) - len(before))
