"""The configuration of a night among nights: thresholds and flags, when it fails, and what it takes over."""

from typing import Annotated

from pydantic import Field

from ood_core.calibration import KEEP
from pipelines.config.base import Configuration

FOLDER = "folder"
"""What images are grouped by unless a column is named: the folder that is part of an image's key."""


class Nightly(Configuration):
    """Where scores are cut, what is counted, and what is taken over; the scores themselves do not depend on it.

    `since`: last night's scan, of which unchanged shards are taken over, and thresholds that were not estimated.
    `verdicts`: what was said of images, in scan directories that keep some or in tables of them, which scores that go
    by neighbours take in.
    `keep_encoded`: leaves the encoded rows in the scan directory, for the next night's `since`, where methods look at
    the whole input.
    `threshold`: by method. `calibrate`: a scan of images that belong; the share `keep` of it lies at or above a
    method's threshold. `decide_by`: the method by whose flags images are kept or dropped, kinds are told and
    `max_flagged` is held; None: consensus, else verdicts, else reference, else the first. `group_by`: a column of the
    score tables, or "folder". `max_flagged`: the share of images that may be flagged before the command fails; None:
    any.
    """

    since: str | None = None
    verdicts: tuple[str, ...] = ()
    keep_encoded: bool = False
    threshold: dict[str, Annotated[float, Field(strict=True)]] = Field(default_factory=dict)
    calibrate: str | None = None
    keep: float = Field(default=KEEP, gt=0, le=1)
    decide_by: str | None = None
    group_by: str = FOLDER
    max_flagged: float | None = Field(default=None, ge=0, le=1)
