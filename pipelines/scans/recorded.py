"""A scan that has ended, taken up again as its directory records it: the input is not looked at."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ood_core.labels import LabelBank
from ood_core.methods import Method
from pipelines.config.image_judges import NoImageJudge
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.inputs.plan import Plan, read_plan
from pipelines.runtime.progress import Say
from pipelines.scan_directory.layout import PLAN_FILE, SUMMARY_FILE
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.scans.checks import text_source
from pipelines.scans.request import Planned, Request

if TYPE_CHECKING:
    from pipelines.runtime.cluster import Cluster
    from pipelines.scans.placement import Placement


def recorded_request(record: ScanRecord) -> Request:
    """What the scan was asked for, but for its judge of images, which has judged them.

    Raises CallerError if it has not ended, or something that it needs is gone.
    """
    directory = record.directory
    if not directory.exists(SUMMARY_FILE):
        raise CallerError(
            f"SCAN {directory.url!r} has not ended: it has no {SUMMARY_FILE}; the scan's own command goes on"
        )
    with reading(directory.url, PLAN_FILE):
        shards = read_plan(directory.read(PLAN_FILE))
    with reading(directory.url, SUMMARY_FILE):
        passed_over = Counter(json.loads(directory.read(SUMMARY_FILE))["passed_over"])
    passed_over -= Manifest(directory, record.fingerprint).told().passed_over

    def planned(config: Any, methods: Mapping[str, Method], bank: LabelBank, options: Mapping[str, Any]) -> Planned:
        texts = text_source(config, methods, bank, options) if isinstance(config, Rescore) else None
        return Planned(config, Plan(shards, passed_over), texts)

    config = record.config
    if isinstance(config, Scan):
        config = config.model_copy(update={"image_judge": NoImageJudge()})
    return Request.prepare(config, directory.options, planned, new_scan=False)


def place_recorded(request: Request, found: "Cluster", say: Say) -> "Placement":
    """Places it on a cluster, if rows are missing that have to be made again."""
    if isinstance(request.config, Scan):
        from pipelines.scans.place_images import place_images

        return place_images(request, found, say)
    from pipelines.scans.place_embeddings import place_embeddings

    return place_embeddings(request, found, say)
