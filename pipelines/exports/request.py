"""What an export is asked for, with everything that it depends on looked at before any work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.config.rescore import Rescore
from pipelines.config.scan import Read
from pipelines.errors import CallerError
from pipelines.exports.choice import Choice, chosen, with_threshold
from pipelines.exports.lists import KINDS
from pipelines.exports.output_files import check_apart
from pipelines.exports.score_rows import ScoreTables
from pipelines.flags.thresholds import recorded_thresholds
from pipelines.inputs.plan import Shard, read_plan
from pipelines.scan_directory.layout import PLAN_FILE, SUCCESS_FILE
from pipelines.scan_directory.record import ScanRecord, reading
from pipelines.storage import Directory

DATACOMP = "datacomp"
LISTS = (*KINDS, DATACOMP)
"""Every kind of lists."""


@dataclass(frozen=True)
class Asked:
    """The options of an export. `lists`: kinds of `LISTS`; `output`: None for a `dry_run` only, which writes nothing.

    `shards`: filtered copies of the input; `fiftyone`, `label_studio`: files for these programs.
    """

    scan: str
    output: str | None = None
    by: str | None = None
    below: float | None = None
    keep_errors: bool = False
    lists: tuple[str, ...] = ("parquet",)
    shards: bool = False
    fiftyone: bool = False
    label_studio: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Request:
    """What is asked for, the scan as its directory records it, its plan and tables, and what is chosen of them."""

    asked: Asked
    record: ScanRecord
    shards: list[Shard]
    tables: ScoreTables
    choice: Choice

    @classmethod
    def prepare(cls, asked: Asked, options: Mapping[str, Any]) -> "Request":
        """Raises CallerError for whatever the caller has to mend."""
        for kind in asked.lists:
            if kind not in LISTS:
                raise CallerError(f"--lists {kind!r} is unknown; the lists are {', '.join(LISTS)}")
        scan = Directory(asked.scan, options)
        record = ScanRecord.read(scan)
        if not scan.exists(SUCCESS_FILE):
            raise CallerError(f"SCAN {asked.scan!r} has not ended well: it has no {SUCCESS_FILE}; rerun the scan first")
        known = recorded_thresholds(scan)
        by = asked.by or (known.deciding if known else None)
        choice = chosen(record.methods, by, asked.below, asked.keep_errors)
        with reading(scan.url, PLAN_FILE):
            shards = read_plan(scan.read(PLAN_FILE))
        tables = ScoreTables(scan, record.fingerprints.scores)
        if shards:
            choice = with_threshold(choice, tables.schema(shards[0]))
        request = cls(asked, record, shards, tables, choice)
        request._check_kinds()
        if not asked.dry_run:
            request._check_output()
        return request

    @property
    def output(self) -> Directory:
        return Directory(self.asked.output or "", self.record.directory.options)

    @property
    def read(self) -> Read:
        """How the scan has read its input."""
        return Read() if isinstance(self.record.config, Rescore) else self.record.config.read

    @property
    def identity(self) -> dict[str, Any]:
        """What all files of an export have in common."""
        return {"scan": self.record.fingerprint, **self.choice.described()}

    def _check_kinds(self) -> None:
        """Raises CallerError for files that cannot be made of what was scanned."""
        of_images = {
            "--shards": self.asked.shards,
            "--fiftyone": self.asked.fiftyone,
            "--label-studio": self.asked.label_studio,
        }
        kinds = {shard.kind for shard in self.shards}
        for option in (option for option, given in of_images.items() if given):
            if isinstance(self.record.config, Rescore):
                raise CallerError(
                    f"{option}: SCAN {self.asked.scan!r} is of embeddings, without images; lists can be made"
                )
            if option != "--shards" and "images" not in kinds:
                raise CallerError(
                    f"{option} needs images that are files of their own, and those of SCAN {self.asked.scan!r} are in "
                    "tars or tables; --shards writes these without what is dropped"
                )

    def _check_output(self) -> None:
        if not self.asked.output:
            raise CallerError("--output is missing: where the export goes; or give --dry-run")
        if self.record.directory.is_at(self.output.url):
            raise CallerError(f"--output {self.asked.output!r} is SCAN itself; give another")
        check_apart(self.output, self.shards)
        self.output.check_writable("--output")
