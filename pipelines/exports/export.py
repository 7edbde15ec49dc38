"""Exports a scan: lists of what to keep and what to drop, and copies of the input without what is dropped."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pipelines.config.pools import ScorePool
from pipelines.errors import CallerError
from pipelines.exports import fiftyone, label_studio
from pipelines.exports.choice import Choice, Decided
from pipelines.exports.lists import list_files, writing_lists
from pipelines.exports.output_files import RECEIPTS, SHARDS
from pipelines.exports.receipt import Receipt
from pipelines.exports.request import DATACOMP, Asked, Request
from pipelines.exports.tally import Tally
from pipelines.runtime.progress import Say, quiet

EXPORT_FILE = "export.json"

AddShard = Callable[[Decided], None]
"""Takes the rows of one shard."""


@dataclass(frozen=True)
class Exported:
    """What an export has come to. `files`: lists and the like, by name; `receipts`: of filtered copies."""

    choice: Choice
    tally: Tally
    files: Sequence[str] = ()
    receipts: Sequence[Receipt] = field(default=(), repr=False)

    @property
    def problems(self) -> list[Receipt]:
        """The receipts of copies that could not be made."""
        return [receipt for receipt in self.receipts if receipt.problem]

    def described(self) -> dict[str, Any]:
        """The summary for JSON."""
        written = [receipt for receipt in self.receipts if receipt.bytes]
        copies = {
            "files": len(written),
            "bytes": sum(receipt.bytes for receipt in written),
            "images": sum(receipt.kept for receipt in written),
            "there_before": sum(receipt.there for receipt in written),
            "damaged": sum(receipt.damaged for receipt in self.receipts),
            "problems": [receipt.problem for receipt in self.problems],
        }
        return {**self.choice.described(), **self.tally.described(), "files": list(self.files), "copies": copies}


def export(
    asked: Asked,
    options: Mapping[str, Any] = MappingProxyType({}),
    *,
    pool: ScorePool | None = None,
    address: str | None = None,
    say: Say = quiet,
) -> Exported:
    """Writes what is asked for, and returns what it has come to. Copies that are there already are not made again.

    `options`: of remote file systems; `address`: of a Ray cluster, of which only copies and DataComp's list have need.
    Raises CallerError for whatever the caller has to mend.
    """
    request = Request.prepare(asked, options)
    tally = Tally(request.shards, each=asked.dry_run)
    if asked.dry_run:
        for decided in request.tables.all_decided(request.shards, request.choice):
            tally.add(decided)
        return Exported(request.choice, tally)
    _begin(request)
    files = _write_lists(request, tally, say)
    found = Exported(request.choice, tally, files)
    if asked.shards or DATACOMP in asked.lists:
        from pipelines.exports.on_ray import on_ray

        uids, receipts = on_ray(request, pool or ScorePool(), address, say)
        found = replace(found, files=[*files, *uids], receipts=receipts)
    _put(request, found.described())
    return found


def _begin(request: Request) -> None:
    """Takes the output for this export. Raises CallerError if there is another one."""
    try:
        before = json.loads(request.output.read(EXPORT_FILE)).get("of")
    except (FileNotFoundError, NotADirectoryError):
        before = request.identity
    except (ValueError, AttributeError) as error:
        raise CallerError(f"--output {request.output.url!r} cannot be used: its {EXPORT_FILE} is damaged") from error
    if before != request.identity:
        raise CallerError(
            f"--output {request.output.url!r} holds an export of another scan, or by another choice: {before}; this "
            f"one would be {request.identity}"
        )
    for folder in ("", SHARDS, RECEIPTS):
        request.output.remove_unfinished(folder)
    _put(request, None)


def _put(request: Request, summary: dict[str, Any] | None) -> None:
    """Writes what the export is of and, once it has ended, what it has come to."""
    content = {"of": request.identity, "summary": summary}
    request.output.put(EXPORT_FILE, f"{json.dumps(content, indent=2)}\n".encode())


def _write_lists(request: Request, tally: Tally, say: Say) -> list[str]:
    """Reads all score tables once, counts, and writes all that comes of their rows alone; returns the files' names."""
    asked, methods, output = request.asked, list(request.record.methods), request.output
    files, left_out, more = list_files(asked.lists), Counter[str](), list[str]()
    with ExitStack() as open_files:
        adders: list[AddShard] = [
            tally.add,
            open_files.enter_context(writing_lists(output, asked.lists, request.choice)),
        ]
        if asked.fiftyone:
            add = open_files.enter_context(fiftyone.writing_samples(output, methods))
            adders.append(_of_image_files(add, fiftyone.FILE, left_out))
            more += fiftyone.wanted_columns(methods)
            files.append(fiftyone.FILE)
        if asked.label_studio:
            add = open_files.enter_context(label_studio.writing_tasks(output, request.choice))
            adders.append(_of_image_files(add, label_studio.FILE, left_out))
            more += label_studio.LABELS
            files += [label_studio.FILE, label_studio.CONFIG_FILE]
        for decided in request.tables.all_decided(request.shards, request.choice, more):
            for add in adders:
                add(decided)
    for name, count in left_out.items():
        say(f"{count} records in tars and tables are not in {name}, which takes files of their own; see --shards")
    return files


def _of_image_files(add: AddShard, name: str, left_out: Counter[str]) -> AddShard:
    """`add` for images that are files of their own; of others `left_out` counts the records, by the `name`."""

    def add_some(decided: Decided) -> None:
        if decided.shard.kind == "images":
            add(decided)
        else:
            left_out[name] += len(decided.rows)

    return add_some
