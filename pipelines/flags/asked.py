"""The flags that a scan is asked for: where each method's threshold is to come from. Free of torch and Ray."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ood_core.methods import Method, deciding_method
from pipelines.config.nightly import FOLDER
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.flags.thresholds import MethodThreshold, thresholds_of
from pipelines.inputs.embedding_plan import further_columns
from pipelines.inputs.plan import Shard
from pipelines.inputs.reference import Reference
from pipelines.scan_directory.columns import OWN, free_name
from pipelines.scan_directory.layout import SUCCESS_FILE
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.record import ScanRecord
from pipelines.storage import Directory

CALIBRATE = "--calibrate"
LEAST_IMAGES = 20
"""Fewer images than this say nothing of where five in a hundred lie."""
OF_IMAGES = ("shard", "url")
"""The columns of a scan's score tables that images can be grouped by; those of a rescoring come from its tables."""


@dataclass(frozen=True)
class AskedFlags:
    """What flags are to be made by.

    `given`: thresholds by method; `calibrating`: the scan whose images belong; `keep`: the share of them to keep;
    `carried`: thresholds of last night's scan, by method; `reference`: whose images belong.
    """

    deciding: str
    group_by: str
    given: Mapping[str, float]
    calibrating: ScanRecord | None
    keep: float
    carried: Mapping[str, MethodThreshold]
    reference: Reference | None = None

    @classmethod
    def prepare(
        cls,
        config: Scan | Rescore,
        methods: Mapping[str, Method],
        bank_hash: str,
        options: Mapping[str, Any],
        reference: Reference | None = None,
        since: Directory | None = None,
    ) -> "AskedFlags":
        """Raises CallerError for a threshold of no method that is asked for, and a scan that cannot calibrate.

        `since`: last night's scan, which has ended.
        """
        if config.decide_by and config.decide_by not in methods:
            raise CallerError(f"--decide-by {config.decide_by!r}: no such --method; it is {', '.join(methods)}")
        for name in config.threshold:
            if name not in methods:
                asked = ", ".join(methods)
                raise CallerError(f"--threshold {name}={config.threshold[name]}: no --method {name!r}; it is {asked}")
        calibrating = None
        if config.calibrate and config.threshold.keys() < methods.keys():
            calibrating = _calibrating(Directory(config.calibrate, options), config, methods, bank_hash)
        carried = _carried(since, methods) if since else {}
        return cls(
            config.decide_by or deciding_method(methods),
            config.group_by,
            config.threshold,
            calibrating,
            config.keep,
            carried,
            reference,
        )

    def by_reference(self, methods: Iterable[str]) -> list[str]:
        """The methods whose thresholds the reference is to tell: no other source goes before it."""
        others = {*self.given, *(self.calibrating.methods if self.calibrating else ())}
        return [name for name in methods if name not in others] if self.reference else []

    def check_enough(self) -> None:
        """Raises CallerError if the scan that calibrates has too few images, before any is scored."""
        if self.calibrating is None:
            return
        place = self.calibrating.directory
        if (scored := Manifest(place, self.calibrating.fingerprint).told().scored) < LEAST_IMAGES:
            raise too_few(f"{CALIBRATE} {place.url!r}", scored)

    def check_group(self, config: Scan | Rescore, shards: Sequence[Shard], options: Mapping[str, Any]) -> None:
        """Raises CallerError if there is no such column to group by, or it does not hold text or numbers."""
        if self.group_by == FOLDER:
            return
        known = (
            OF_IMAGES
            if isinstance(config, Scan)
            else ("shard", *groupable(further_columns(shards, config.read, options)))
        )
        if self.group_by not in known:
            raise CallerError(
                f"--group-by {self.group_by!r} is no column that images can be grouped by; these are: "
                f"{', '.join([FOLDER, *known])}"
            )

    def check_weights(self, weights: str | None) -> None:
        """Raises CallerError if a model of other weights has scored the images that calibrate. None: not known."""
        if self.calibrating is None:
            return
        before = self.calibrating.identity.get("weights")
        if None not in (weights, before) and weights != before:
            raise CallerError(
                f"{CALIBRATE} {self.calibrating.directory.url!r} is a scan by another model: its weights are "
                f"{str(before)[:12]}…, those of this one {str(weights)[:12]}…"
            )

    def identity(self) -> dict[str, Any]:
        """What thresholds depend on beside the scan's own scores."""
        calibrating = self.calibrating
        return {
            "threshold": dict(self.given),
            "calibrate": calibrating and calibrating.fingerprint,
            "reference": self.reference and self.reference.plan.fingerprint,
            "keep": self.keep if calibrating or self.reference else None,
            "carried": {name: threshold.value for name, threshold in self.carried.items()},
        }


def _calibrating(scan: Directory, config: Scan | Rescore, methods: Mapping[str, Method], bank_hash: str) -> ScanRecord:
    """The scan whose images belong. Raises CallerError if its scores cannot be held against those of this one."""
    said = f"{CALIBRATE} {config.calibrate!r}"
    if scan.is_at(config.output):
        raise CallerError(f"{said} is --output itself: a scan cannot say what belongs in it")
    record = ScanRecord.read(scan, CALIBRATE)
    if not scan.exists(SUCCESS_FILE):
        raise CallerError(f"{said} is a scan that has not ended well: it has no {SUCCESS_FILE}")
    if record.labels_hash != bank_hash:
        raise CallerError(f"{said} is a scan with another label bank than --labels {config.labels!r}")
    due = [name for name in methods if name not in config.threshold]
    for name in due:
        if name in record.methods and record.methods[name] != methods[name]:
            raise CallerError(f"{said} was scored by {name} with other parameters: {record.methods[name]}")
    if not record.methods.keys() & set(due):
        raise CallerError(f"{said} has scores by {', '.join(record.methods)}, and by none of {', '.join(due)}")
    return record


def too_few(said: str, scored: int) -> CallerError:
    """What is said of so few images, called `said`, that they cannot tell what belongs."""
    return CallerError(f"{said} has {scored} scored images; at least {LEAST_IMAGES} have to tell what belongs")


def groupable(columns: Iterable[pa.Field]) -> list[str]:
    """Those of the columns whose values can be groups, as score tables call them."""
    names = [field.name for field in columns if _holds_names(field.type)]
    return [free_name(name, OWN) for name in names]


def _holds_names(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    of_text = pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)
    return of_text or pa.types.is_integer(value) or pa.types.is_boolean(value) or pa.types.is_date(value)


def _carried(scan: Directory, methods: Mapping[str, Method]) -> dict[str, MethodThreshold]:
    """The thresholds of last night's scan, but for estimates: these are of its own scores, and are made anew."""
    found = thresholds_of(scan, "--since").methods
    return {
        name: replace(threshold, source="carried", of=threshold.of or scan.url)
        for name, threshold in found.items()
        if name in methods and threshold.source != "estimated"
    }
