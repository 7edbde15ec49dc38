"""The names of a scan directory's files and folders, and its tables as bytes."""

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from ood_core.vectors import parquet_bytes, parquet_table
from pipelines.inputs.listing import PLAN_FILE, SCAN_FILE
from pipelines.storage import Directory, Entry

SUMMARY_FILE, SUCCESS_FILE = "summary.json", "_SUCCESS"
GALLERY_FILE, THRESHOLDS_FILE, REPORT_FILE = "gallery.parquet", "thresholds.json", "report.html"
SCORES, EMBEDDINGS, MEMORY, CONSENSUS, MANIFEST = "scores", "embeddings", "memory", "consensus", "manifest"
ENCODED, SCORED = "encoded", "scored"  # gone when the scan has ended
CANDIDATES, VERDICTS = f"{MEMORY}/candidates", f"{MEMORY}/verdicts"
ROUNDS = f"{MEMORY}/rounds-"
SNAPSHOT, INITIAL, EXTRA_NEGATIVES = (
    f"{MEMORY}/snapshot-",
    f"{MEMORY}/initial.parquet",
    f"{MEMORY}/extra-negatives.parquet",
)
ANCHORS, SUMS, VOTES = f"{CONSENSUS}/anchors.parquet", f"{CONSENSUS}/sums-", f"{CONSENSUS}/votes"
REFERENCE = "reference"  # its encoded images; gone when the scan has ended
REFERENCE_VOTES, REFERENCE_SUMS, OF_REFERENCE = (
    f"{CONSENSUS}/reference",
    f"{CONSENSUS}/reference.parquet",
    f"{CONSENSUS}/with-reference-",
)
REFERENCE_SCORES = f"{CONSENSUS}/reference-scores"
KEPT_VERDICTS = "verdicts"  # what somebody has said of images: kept when a scan starts over
VERDICT_SUMS, VERDICT_VOTES, WITH_VERDICTS = (
    f"{CONSENSUS}/verdicts.parquet",
    f"{CONSENSUS}/verdict-votes.parquet",
    f"{CONSENSUS}/with-verdicts-",
)
IMAGE_ANSWERS = f"{KEPT_VERDICTS}/answers"  # of a model: each was paid for
JUDGED = f"{CONSENSUS}/judged.parquet"
QUESTIONS_FILE, QUESTIONS_PAGE = "questions.parquet", "questions.html"

FINGERPRINT_KEY, RECORDS_KEY, PASSED_OVER_KEY = b"oodscan.fingerprint", b"oodscan.records", b"oodscan.passed-over"
THRESHOLDS_KEY, VERDICTS_KEY = b"oodscan.thresholds", b"oodscan.verdicts"
"""Metadata of a committed table: of which scan it is, how many records its shard has, and, as JSON, how many members of
its archive were passed over, by kind, and by which thresholds its flags were made, by method; and the digest of the
verdicts that its scores take in, if there are any."""

OF_SHARDS = (
    SCORES, EMBEDDINGS, ENCODED, SCORED, CANDIDATES, VERDICTS, VOTES, REFERENCE, REFERENCE_VOTES, REFERENCE_SCORES,
)  # fmt: skip
"""The folders that hold a file a shard; of the last three, of the reference's shards."""

FILES = (
    SUCCESS_FILE,
    SUMMARY_FILE,
    REPORT_FILE,
    QUESTIONS_PAGE,
    QUESTIONS_FILE,
    GALLERY_FILE,
    THRESHOLDS_FILE,
    f"{MANIFEST}/part-*.parquet",
    *(f"{folder}/part-*.parquet" for folder in OF_SHARDS),
    f"{SNAPSHOT}*.parquet",
    INITIAL,
    EXTRA_NEGATIVES,
    f"{ROUNDS}*.parquet",
    ANCHORS,
    f"{SUMS}*.parquet",
    REFERENCE_SUMS,
    f"{OF_REFERENCE}*.parquet",
    JUDGED,
    VERDICT_SUMS,
    VERDICT_VOTES,
    f"{WITH_VERDICTS}*.parquet",
    PLAN_FILE,
    SCAN_FILE,
)
"""Every file that a scan may write, as patterns; the one that says that a scan lies here comes last. Verdicts are none:
people have given them."""


def shard_name(shard_id: str) -> str:
    """The name of a shard's file in each of the folders that hold one file a shard."""
    return f"part-{shard_id}.parquet"


def shard_file(folder: str, shard_id: str) -> str:
    """The path of a shard's file in a folder of the scan directory."""
    return f"{folder}/{shard_name(shard_id)}"


def shard_of(name: str) -> str:
    """The id of the shard that a file is of, by the file's name or path."""
    return name.rpartition("/")[2].removeprefix("part-").removesuffix(".parquet")


def committed(output: Directory, folder: str = SCORES) -> set[str]:
    """The ids of the shards that have a file in the folder: those that are done, of the scores."""
    return set(committed_files(output, folder))


def committed_files(output: Directory, folder: str = SCORES) -> dict[str, Entry]:
    """Each shard's file in the folder as it is listed, by shard id."""
    return {
        shard_of(name): entry
        for name, entry in output.entries(folder).items()
        if name.startswith("part-") and name.endswith(".parquet")
    }


def missing_files(output: Directory, names: Iterable[str]) -> Iterator[str]:
    """Those of the files that are not there. Lists their folders, however many they are."""
    listed: dict[str, set[str]] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder not in listed:
            listed[folder] = set(output.names(folder))
        if file not in listed[folder]:
            yield name


def carries(table: pa.Table, fingerprint: str) -> bool:
    """Whether a table carries the fingerprint of this scan."""
    return (table.schema.metadata or {}).get(FINGERPRINT_KEY) == fingerprint.encode()


def names_a_file(path: str) -> bool:
    """Whether a path in the scan directory is that of a file that a scan writes."""
    return any(fnmatch.fnmatchcase(path, pattern) and path.count("/") == pattern.count("/") for pattern in FILES)


def files_of(output: Directory) -> Iterator[list[str]]:
    """The paths of the files that a scan has left in the directory, folder by folder, in the order of `FILES`."""
    for pattern in FILES:
        folder = pattern.rpartition("/")[0]
        paths = [f"{folder}/{name}".lstrip("/") for name in output.names(folder)]
        yield [path for path in paths if fnmatch.fnmatchcase(path, pattern)]


def remove_unfinished(output: Directory) -> None:
    """Removes what killed processes had not finished writing."""
    for folder in {pattern.rpartition("/")[0] for pattern in FILES}:
        output.remove_unfinished(folder)


def table_bytes(table: pa.Table, metadata: Mapping[Any, Any]) -> bytes:
    """A table with the metadata as a Parquet file, whose pages are checked when it is read."""
    return parquet_bytes(table.replace_schema_metadata(dict(metadata)))


def read_table(output: Directory, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A table of the scan directory, or some of its columns.

    Raises FileNotFoundError if there is none, and ArrowException or OSError for one that is damaged.
    """
    return table_from(output.read(name), columns)


def table_from(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """A table from a file's content, or some of its columns. Raises ArrowException or OSError if it is damaged."""
    return parquet_table(pa.BufferReader(content), columns)
