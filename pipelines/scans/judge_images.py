"""Has a model answer the questions on a scan whose images are all scored: once, before its flags are made."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.config.image_judges import ImageHttp, ImageReplay, ImageVllm, NoImageJudge
from pipelines.config.pools import ScorePool
from pipelines.config.scan import Scan
from pipelines.inputs.readers.parquet import DAMAGE
from pipelines.runtime.progress import Say
from pipelines.scan_directory.layout import FINGERPRINT_KEY, JUDGED, read_table, table_bytes
from pipelines.scan_directory.record import ScanRecord
from pipelines.scans.request import Request
from pipelines.verdicts.kept import Verdicts, keep
from pipelines.verdicts.places import Place

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster

JUDGE_KEY, DONE_KEY = b"oodscan.judge", b"oodscan.done"
"""Metadata of the table of images that a model is asked about: which judge, and whether its verdicts are kept."""


def image_judge_of(request: Request) -> ImageReplay | ImageVllm | ImageHttp | None:
    """The judge of images that a scan is asked for; None if there is none."""
    judge = request.config.image_judge if isinstance(request.config, Scan) else NoImageJudge()
    return None if isinstance(judge, NoImageJudge) else judge


def is_judged(request: Request) -> bool:
    """Whether the verdicts of the judge that the scan is asked for, if any, are kept with it."""
    judge = image_judge_of(request)
    return judge is None or _recorded(request, judge)[1]


def judge_images(request: Request, found: "Cluster", say: Say) -> Request:
    """Asks the judge, keeps its verdicts with the scan, and returns the request with them.

    Which images are asked about is recorded first: a run that is cut short is made good by the next, about the same
    ones, of which the answers that were had are stored.
    """
    from pipelines.runtime.pools import fit_scorers
    from pipelines.verdicts.add import verdicts_on
    from pipelines.verdicts.ask import choose
    from pipelines.verdicts.judge import model_answers

    judge, record = image_judge_of(request), ScanRecord.read(request.output)
    if judge is None:
        return request
    places, _ = _recorded(request, judge)
    if places is None:
        say("image judge: choosing images")
        chosen = choose(record, judge.max_questions, fit_scorers(ScorePool(), "cpu", found))
        places = [question.place for question in chosen]
        _record(record, judge, places, done=False)
    answers = model_answers(record, judge, found, say, places)
    new = verdicts_on(record, answers, request.bank.dim, found)
    weights = request.verdicts.weights or new.weights
    verdicts = Verdicts.of([request.verdicts.table, new.table], request.bank.dim, "the answers", weights)
    if verdicts:
        keep(request.output, verdicts)
    _record(record, judge, places, done=True)
    return replace(request, verdicts=verdicts)


def _recorded(request: Request, judge: ImageReplay | ImageVllm | ImageHttp) -> tuple[list[Place] | None, bool]:
    """The images that were chosen for this judge, and whether it is done with them; None if none were."""
    try:
        table = read_table(request.output, JUDGED)
        metadata = table.schema.metadata or {}
        if metadata.get(JUDGE_KEY) != _named(judge):
            return None, False
        places = list(zip(table["shard"].to_pylist(), table["index"].to_pylist(), strict=True))
        return places, metadata.get(DONE_KEY) == b"1"
    except (FileNotFoundError, KeyError, *DAMAGE):
        return None, False


def _record(
    record: ScanRecord, judge: ImageReplay | ImageVllm | ImageHttp, places: Sequence[Place], done: bool
) -> None:
    columns = {
        "shard": pa.array([shard for shard, _ in places], pa.string()),
        "index": pa.array([index for _, index in places], pa.int64()),
    }
    metadata = {FINGERPRINT_KEY: record.fingerprint, JUDGE_KEY: _named(judge), DONE_KEY: str(int(done))}
    record.directory.put(JUDGED, table_bytes(pa.table(columns), metadata))


def _named(judge: ImageReplay | ImageVllm | ImageHttp) -> bytes:
    """The judge, as far as its verdicts depend on it."""
    fields = ("name", "model", "url", "extra_body", "recorded", "nearest", "max_questions")
    return repr([getattr(judge, name, None) for name in fields]).encode()
