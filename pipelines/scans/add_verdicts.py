"""`oodscan verdicts`: what reviewers have said of a scan's images is kept, and spread over the scan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipelines.config.image_judges import ImageJudgeConfig, NoImageJudge
from pipelines.config.rescore import Rescore
from pipelines.errors import CallerError
from pipelines.runtime.progress import Say, quiet
from pipelines.scan_directory.record import ScanRecord
from pipelines.scans.carry_out import Start, carry_out
from pipelines.scans.recorded import place_recorded, recorded_request
from pipelines.scans.request import Request
from pipelines.storage import Directory
from pipelines.verdicts.add import disagreements, verdicts_on
from pipelines.verdicts.answers import read_answers
from pipelines.verdicts.kept import Verdicts

NAMED = 20
"""Images on which judges disagree that are named one by one."""


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
    judge: ImageJudgeConfig = NoImageJudge(),  # noqa: B008  frozen
    address: str | None = None,
    take_over: bool = False,
    say: Say = quiet,
) -> Added:
    """Keeps the answers in these files with the scan, and makes the scores that take them in anew.

    `judge`: a model that is asked about further images, once these answers count. Without either it only makes scores
    take in what is kept. Raises CallerError for a scan that has not ended, or takes no verdicts in, and for answers
    that are none, or on images that it has not.
    """
    from pipelines.runtime.cluster import cluster
    from pipelines.verdicts.judge import check_image_judge, model_answers

    record, start = ScanRecord.read(Directory(url, options)), Start(address, take_over=take_over)
    answers = [answer for file in dict.fromkeys(files) for answer in read_answers(file, options)]
    if not isinstance(judge, NoImageJudge):
        if isinstance(record.config, Rescore):
            raise CallerError(f"--image-judge: SCAN {url!r} is a rescoring, which has no images")
        check_image_judge(judge, record.methods, options)
    request = recorded_request(record)
    before = len(request.verdicts)
    with cluster(address) as found:
        request = _with(request, verdicts_on(record, answers, request.bank.dim, found))
        summary = carry_out(request, place_recorded, start, say)
        if not isinstance(judge, NoImageJudge):
            said = model_answers(record, judge, found, say)
            request = _with(request, verdicts_on(record, said, request.bank.dim, found))
            summary = carry_out(request, place_recorded, start, say)
    lines = disagreements(request.verdicts)
    for line in lines[:NAMED]:
        say(f"disagreement: {line}")
    if len(lines) > NAMED:
        say(f"{len(lines)} disagreements in all")
    say(f"{len(request.verdicts) - before} new verdicts, {len(request.verdicts)} in all")
    return Added(summary, request.verdicts, len(request.verdicts) - before)


def _with(request: Request, new: Verdicts) -> Request:
    """The request with further verdicts. Raises CallerError for those on embeddings of another model."""
    known, dim = request.verdicts, request.bank.dim
    known.check_weights(new.weights, "the answers")
    return replace(
        request, verdicts=Verdicts.of([known.table, new.table], dim, "the answers", known.weights or new.weights)
    )
