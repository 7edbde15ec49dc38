"""Thresholds as a scan directory records them: for each method, where its scores are cut, and who says so."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipelines.errors import CallerError
from pipelines.scan_directory.layout import THRESHOLDS_FILE
from pipelines.storage import Directory, storage_errors

Source = Literal["given", "calibrated", "reference", "carried", "estimated"]

SAID = {
    "given": "was given",
    "calibrated": "keeps {keep:.4g} of {images:,} images that belong ({of})",
    "reference": "keeps {keep:.4g} of the {images:,} images of the reference",
    "carried": "is carried over from {of}",
    "estimated": "is an estimate from the scan's own scores, which cuts even where everything belongs",
}
"""Where a threshold comes from, in words that go on from "the threshold"."""


@dataclass(frozen=True)
class MethodThreshold:
    """Where a method's scores are cut: an image that scores below `value` is flagged.

    `low`, `high`: between which values it would lie, as 95 of 100 draws of other images have it; None where nobody can
    say. `of`: the scan that it comes from; `keep`: the share of `images` that it keeps of those that belong.
    """

    value: float
    source: Source
    low: float | None = None
    high: float | None = None
    of: str | None = None
    keep: float | None = None
    images: int | None = None

    @property
    def said(self) -> str:
        """Where it comes from, in words."""
        return SAID[self.source].format(**asdict(self))


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of a scan, and what its flags and counts were made by.

    `asked`: what they depend on beside the scores; `methods`: by name; one without a threshold has no flags.
    """

    asked: Mapping[str, Any]
    deciding: str
    group_by: str
    methods: Mapping[str, MethodThreshold]

    @property
    def values(self) -> dict[str, float]:
        """The thresholds alone, by method."""
        return {name: threshold.value for name, threshold in self.methods.items()}

    def to_json(self) -> dict[str, Any]:
        return {
            "deciding": self.deciding,
            "group_by": self.group_by,
            "methods": {name: asdict(threshold) for name, threshold in self.methods.items()},
            "asked": dict(self.asked),
        }

    def put(self, output: Directory) -> None:
        """Records them in a scan directory."""
        output.put(THRESHOLDS_FILE, (json.dumps(self.to_json(), indent=2) + "\n").encode())

    @classmethod
    def from_json(cls, recorded: Any) -> "Thresholds":
        """Raises AttributeError, KeyError, TypeError or ValueError for what is none of ours."""
        methods = {name: MethodThreshold(**found) for name, found in recorded["methods"].items()}
        if not all(isinstance(one.value, int | float) and one.source in SAID for one in methods.values()):
            raise ValueError("a threshold that is no number, or of no known source")
        return cls(dict(recorded["asked"]), str(recorded["deciding"]), str(recorded["group_by"]), methods)


def recorded_thresholds(output: Directory) -> Thresholds | None:
    """The thresholds that a scan directory records; None if there are none, or they cannot be read."""
    try:
        return Thresholds.from_json(json.loads(output.read(THRESHOLDS_FILE)))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, AttributeError):
        return None


def thresholds_of(scan: Directory, option: str) -> Thresholds:
    """The thresholds of an earlier scan. Raises CallerError, naming the option, if it has none that can be read."""
    with storage_errors(f"{option} {scan.url!r}"):
        found = recorded_thresholds(scan)
    if found is None:
        raise CallerError(f"{option} {scan.url!r} has no {THRESHOLDS_FILE} that can be read: it has not ended")
    return found
