import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from pipelines.verify.verify import verify
from tests.pipelines.verify.damage import (
    TYPES,
    Damage,
    a_folder,
    beside,
    cell,
    column,
    cut,
    empty,
    flipped,
    garbage,
    missing,
    nth,
    of_another_scan,
    of_shard,
    rewritten,
    taken,
    told,
    twice,
    without,
)
from tests.pipelines.verify.made_scans import FIRST, LEARNED, SECOND, STATIC, make_scan

SCORES, EMBEDDINGS = f"scores/part-{FIRST}.parquet", f"embeddings/part-{FIRST}.parquet"
CANDIDATES, VERDICTS = f"memory/candidates/part-{FIRST}.parquet", f"memory/verdicts/part-{FIRST}.parquet"
SNAPSHOT, EXTRA = "memory/snapshot-4.parquet", "memory/extra-negatives.parquet"
VOTES, ANCHORS = f"consensus/votes/part-{FIRST}.parquet", "consensus/anchors.parquet"
SUMS = [f"consensus/sums-{step}.parquet" for step in range(7)]
MANIFEST, GALLERY, PLAN = "manifest/part-000000.parquet", "gallery.parquet", "plan.parquet"
RECORD, SUMMARY, SUCCESS = "scan.json", "summary.json", "_SUCCESS"
OF_STATIC = (SCORES, EMBEDDINGS, MANIFEST, GALLERY)
OF_LEARNED = (CANDIDATES, VERDICTS, SNAPSHOT, EXTRA, VOTES, ANCHORS, SUMS[0], SUMS[2], SUMS[6])


class Case(NamedTuple):
    """A damage to a file of a scan, and the problems, by how each begins: the file's name, unless it is given."""

    damage: Damage
    problems: Sequence[str] = ()


def edited(change: Callable[[dict[str, Any]], Any]) -> Damage:
    """A JSON file with something changed in it."""

    def apply(path: Path) -> None:
        content = json.loads(path.read_bytes())
        change(content)
        path.write_text(json.dumps(content))

    return apply


def written(content: str | bytes) -> Damage:
    return lambda path: path.write_bytes(content.encode() if isinstance(content, str) else content)


ANY_TABLE = {
    "empty": Case(empty, ["{} cannot be read: "]),
    "cut": Case(cut, ["{} cannot be read: "]),
    "garbage": Case(garbage, ["{} cannot be read: "]),
    "a bit flipped": Case(flipped, ["{} cannot be read: "]),
}

GONE = {
    "missing": Case(missing, ["{} is missing"]),
    "a folder in its place": Case(a_folder, ["{} cannot be read: "]),
}

OF_TABLES: dict[str, dict[str, Case]] = {
    SCORES: {
        "a column lost": Case(without("key"), ["{}: there is no column 'key'"]),
        "its scores lost": Case(without("score_mcm"), ["{}: there is no column 'score_mcm'"]),
        "a column twice": Case(twice("status"), ["{}: there are 2 columns 'status'"]),
        "nulls in status": Case(cell("status", 0, None), ["{}: column 'status' has nulls"]),
        "nulls in shard": Case(cell("shard", 0, None), ["{}: column 'shard' has nulls"]),
        "NaN in a score": Case(cell("score_mcm", 0, float("nan")), ["{}: column 'score_mcm' has numbers that are not"]),
        "infinite score": Case(cell("score_mcm", 0, float("inf")), ["{}: column 'score_mcm' has numbers that are not"]),
        "score above its range": Case(
            cell("score_mcm", 0, 1.5), ["{}: score_mcm: MCM scores are between 0 and 1, and 1.5"]
        ),
        "score below its range": Case(cell("score_neglabel", 0, -0.5), ["{}: score_neglabel: NegLabel scores are"]),
        "huge score": Case(cell("score_mcm", 0, 1e308), ["{}: score_mcm: MCM scores are between 0 and 1, and 1e+308"]),
        "score lost": Case(cell("score_mcm", 0, None), ["{}: score_mcm is missing where the status is ok, in row 0"]),
        "score too many": Case(cell("score_mcm", 1, 0.5), ["{}: score_mcm is given where the status is not ok"]),
        "score changed": Case(cell("score_mcm", 0, 0.5)),
        "label changed": Case(cell("negative_label", 0, "flag")),
        "negative index": Case(cell("index", 0, -1), ["{}: the indices are not 0, 1, 2"]),
        "index beyond": Case(cell("index", 3, 10**12), ["{}: the indices are not 0, 1, 2"]),
        "rows swapped": Case(taken(1, 0, 2, 3), ["{}: the indices are not 0, 1, 2"]),
        "a row twice": Case(taken(0, 1, 2, 3, 3), ["{}: the indices are not 0, 1, 2"]),
        "a row lost": Case(taken(0, 1, 3), ["{}: the indices are not 0, 1, 2"]),
        "the last row lost": Case(taken(0, 1, 2), ["{}: the keys are not those of the planned files"]),
        "no rows": Case(taken(), ["{}: the keys are not those of the planned files"]),
        "another key": Case(cell("key", 0, "x.jpg"), ["{}: the keys are not those of the planned files"]),
        "an unknown status": Case(cell("status", 0, "odd"), ["{}: the status 'odd' is unknown"]),
        "another status": Case(cell("status", 0, "empty-file"), ["{}: score_mcm is given where the status is not ok"]),
        "ok without a score": Case(cell("status", 1, "ok"), ["{}: score_mcm is missing where the status is ok"]),
        "another bad status": Case(cell("status", 1, "empty-file")),
        "a row of another shard": Case(cell("shard", 2, "x"), ["{}: there are rows of another shard"]),
        "the file of another shard": Case(of_shard(SECOND), ["{}: there are rows of another shard"]),
        "other metadata": Case(told(records="7")),
        "a row count that is no number": Case(told(records=b"\xff")),
        "a stray part": Case(beside("part-x.parquet"), ["scores/part-x.parquet is not in the plan"]),
        "a part of a strange name": Case(
            beside("part-\u202e\nx.parquet"), ["scores/part-\u202e\nx.parquet is not in the plan"]
        ),
    },
    EMBEDDINGS: {
        "a column lost": Case(without("embedding"), ["{}: there is no column 'embedding'"]),
        "an embedding lost": Case(taken(1, 2), ["{}: the embeddings are not those of the records"]),
        "rows swapped": Case(taken(1, 0, 2), ["{}: the embeddings are not those of the records"]),
        "a row twice": Case(taken(0, 0, 1, 2), ["{}: the embeddings are not those of the records"]),
        "another key": Case(cell("key", 0, "x.jpg"), ["{}: the embeddings are not those of the records"]),
        "negative index": Case(cell("index", 0, -1), ["{}: the embeddings are not those of the records"]),
        "index beyond": Case(cell("index", 2, 2**62), ["{}: the embeddings are not those of the records"]),
        "the file of another shard": Case(of_shard(SECOND), ["{}: there are rows of another shard"]),
        "nulls": Case(cell("embedding", 0, None), ["{}: column 'embedding' has nulls"]),
        "nulls within": Case(
            cell("embedding", 0, [None, 1, 0, 0]), ["{}: column 'embedding' has nulls within its lists"]
        ),
        "NaN": Case(cell("embedding", 0, [np.nan] * 4), ["{}: column 'embedding' has numbers that are not finite"]),
        "not of unit length": Case(
            cell("embedding", 0, [0.5, 0.5, 0, 0]), ["{}: there are embeddings that are not of unit length"]
        ),
        "another dimension": Case(
            column("embedding", lambda values: [[1, 0]] * len(values), pa.list_(pa.float16(), 2)),
            ["{}: the embeddings have dimension 2, those of the others 4"],
        ),
        "another number type": Case(
            column("embedding", lambda values: [[1, 0, 0, 0]] * len(values), pa.list_(pa.float64(), 4)),
            ["{}: column 'embedding' holds fixed_size_list<element: double>[4], not vectors of halffloat"],
        ),
        "lists of any length": Case(
            column("embedding", lambda values: [[1, 0, 0, 0]] * len(values), pa.list_(pa.float16())),
            ["{}: column 'embedding' holds list<element: halffloat>, not vectors of halffloat"],
        ),
        "another embedding": Case(cell("embedding", 0, [1, 0, 0, 0])),
        "a stray part": Case(beside("x.parquet"), ["embeddings/x.parquet is not in the plan"]),
    },
    MANIFEST: {
        "missing": Case(missing, ["manifest/ has no receipt of any shard"]),
        "a folder in its place": Case(a_folder, ["manifest/ has no receipt of any shard"]),
        "a receipt lost": Case(taken(0, 2, 3), [f"manifest/ has no receipt of {SCORES}"]),
        "no receipts": Case(taken(), ["manifest/ has no receipt of any shard"]),
        "a receipt twice": Case(taken(0, 1, 1, 2, 3), [f"manifest/ has 2 receipts of '{FIRST}'"]),
        "a receipt of no shard": Case(
            cell("shard", 1, "x"),
            ["manifest/ has a receipt of 'x', which is not in the plan", f"manifest/ has no receipt of {SCORES}"],
        ),
        "other counts": Case(cell("records", 1, 7), [f"manifest/ counts 4 of 7 records of {FIRST}"]),
        "huge counts": Case(cell("records", 1, 2**62), ["manifest/ counts 4 of 4611686018427387904 records of"]),
        "other statuses": Case(
            cell("statuses", 1, [("ok", 4)]),
            [
                f"manifest/ counts {{'ok': 4}}, and {SCORES} holds {{'ok': 3, 'unreadable-image': 1}}",
                "summary.json counts {'ok': 8, 'unreadable-image': 3}, the score tables {'ok': 9, 'unreadable",
            ],
        ),
        "null statuses": Case(cell("statuses", 1, None), ["{}: column 'statuses' has nulls"]),
        "null counts": Case(cell("statuses", 1, [("ok", None)]), ["{}: column 'statuses' has nulls within its lists"]),
        "null size": Case(cell("size", 1, None), ["{}: column 'size' has nulls"]),
        "another digest": Case(cell("digest", 1, "0" * 32), [f"{SCORES} is not the file that was committed"]),
        "a column lost": Case(without("digest"), ["{}: there is no column 'digest'"]),
        "other sketches": Case(
            column("sketches", nth(3, lambda found: [dict(one, buckets=[1]) for one in found[:1]])),
            ["manifest/: its receipts do not add up"],
        ),
        "no sketches": Case(
            column("sketches", nth(3, lambda _: [])), ["summary.json: quantiles is not what manifest/"]
        ),
        "huge buckets": Case(
            column(
                "sketches", nth(3, lambda found: [dict(one, buckets=[2**62] * len(one["buckets"])) for one in found])
            ),
            ["manifest/ cannot be checked: "],
        ),
        "no choices": Case(
            column("choices", nth(3, lambda _: [])), ["gallery.parquet: it shows images, and none were chosen"]
        ),
        "odd choices": Case(
            column("choices", nth(3, lambda found: [dict(one, kind="odd") for one in found])),
            ["gallery.parquet: it does not show the images that were chosen"],
        ),
        "a file of another name": Case(beside("part-x.parquet"), ["manifest/part-x.parquet is no file of a manifest"]),
        "a file twice": Case(
            beside("part-000001.parquet"),
            [f"manifest/ has 2 receipts of '{one}'" for one in ("empty-e0e0e0e0", FIRST, SECOND, "data-33333333")],
        ),
    },
    GALLERY: {
        "a column lost": Case(without("rank"), ["{}: there is no column 'rank'"]),
        "an image lost": Case(rewritten(lambda table: table.slice(1)), ["{}: it does not show the images that were"]),
        "an image of no shard": Case(cell("shard", 0, "x"), ["{}: it does not show the images that were chosen"]),
        "index beyond": Case(cell("index", 0, 10**12), ["{}: it does not show the images that were chosen"]),
        "an unknown method": Case(cell("method", 0, "odd"), ["{}: it does not show the images that were chosen"]),
        "another rank": Case(cell("rank", 0, 5), ["{}: its ranks are not 0, 1, 2"]),
        "another score": Case(column("score_mcm", nth(0, lambda score: score / 2)), ["{}: it shows images of data-"]),
        "nulls": Case(cell("index", 0, None), ["{}: column 'index' has nulls"]),
    },
    PLAN: {
        "a column lost": Case(without("kind"), ["{}: there is no column 'kind'"]),
        "no rows": Case(taken(), ["{}: it is not the plan that scan.json was recorded with"]),
        "a shard lost": Case(taken(1, 2, 3), ["{}: it is not the plan that scan.json was recorded with"]),
        "a shard twice": Case(taken(0, 1, 1, 2, 3), [f"{{}}: '{FIRST}' is planned twice"]),
        "another order": Case(taken(1, 0, 2, 3), ["{}: it is not the plan that scan.json was recorded with"]),
        "nulls": Case(cell("id", 0, None), ["{}: column 'id' has nulls"]),
        "nulls within": Case(
            column("keys", nth(1, lambda keys: [None, *keys[1:]])), ["{}: column 'keys' has nulls within"]
        ),
        "an id that leads elsewhere": Case(cell("id", 0, "../../x"), ["{}: '../../x' is no shard's id"]),
        "an unknown kind": Case(cell("kind", 0, "odd"), ["{}: 'empty-e0e0e0e0' is of no known kind: 'odd'"]),
        "another kind": Case(cell("kind", 1, "tar"), [f"{{}}: '{FIRST}' has 4 keys of 4 files"]),
        "a key lost": Case(column("keys", nth(1, lambda keys: keys[1:])), [f"{{}}: '{FIRST}' has 3 keys of 4 files"]),
        "a size lost": Case(
            column("sizes", nth(1, lambda sizes: sizes[1:])), [f"{{}}: '{FIRST}' has 4 files, 3 sizes"]
        ),
        "a negative size": Case(cell("sizes", 0, [-1]), ["{}: 'empty-e0e0e0e0' has a negative size"]),
        "another fingerprint": Case(
            cell("fingerprint", 0, "x"), ["{}: it is not the plan that scan.json was recorded"]
        ),
        "other keys": Case(
            column("keys", nth(1, lambda keys: ["x", *keys[1:]])), [f"{SCORES}: the keys are not those"]
        ),
    },
    CANDIDATES: {
        "a column lost": Case(without("priority"), ["{}: there is no column 'priority'"]),
        "a row of the memory that there is not": Case(
            cell("row", 0, 10**12),
            [f"{SNAPSHOT} is not what the candidates of adaneg come to: it lacks images of {CANDIDATES}"],
        ),
        "a negative row": Case(cell("row", 0, -1), ["{}: there is an image for row -1"]),
        "an image that comes before all": Case(
            column("priority", nth(0, lambda _: -1.0)),
            [f"{SNAPSHOT} is not what the candidates of adaneg come to: it lacks images of {CANDIDATES}"],
        ),
        "no images": Case(
            taken(),
            [
                f"{SNAPSHOT} is not what the candidates of {name} come to: it has images that no"
                for name in ("adaneg", "interneg")
            ],
        ),
        "NaN": Case(cell("priority", 0, np.nan), ["{}: column 'priority' has numbers that are not finite"]),
        "an unknown method": Case(
            cell("method", 0, "odd"), ["{}: there are images for 'odd', a method that remembers"]
        ),
        "an unknown key": Case(cell("key", 0, "odd"), ["{}: there are images that have no scores in its score table"]),
        "the file of another shard": Case(of_shard(SECOND), ["{}: there are images that have no scores in its"]),
        "another dimension": Case(
            column("embedding", lambda values: [[1, 0]] * len(values), pa.list_(pa.float32(), 2)),
            ["{}: the embeddings have dimension 2, those of the others 4"],
        ),
        "not of unit length": Case(
            cell("embedding", 0, [2, 0, 0, 0]), ["{}: there are embeddings that are not of unit"]
        ),
        "rows that were not committed": Case(told(records="99"), ["{} has 6 rows, but 99 were committed"]),
        "a stray part": Case(beside("part-x.parquet"), ["memory/candidates/part-x.parquet is not in the plan"]),
    },
    SNAPSHOT: {
        "an image lost": Case(
            rewritten(lambda table: table.slice(1)),
            ["{} is not what the candidates of adaneg come to: it lacks images of memory/candidates/part-data-"],
        ),
        "another order": Case(
            rewritten(lambda table: table.take([1, 0, *range(2, len(table))])), ["{}: the images of adaneg are not as"]
        ),
        "an image twice": Case(
            rewritten(lambda table: table.take([0, *range(len(table))])), ["{}: the images of adaneg are not as"]
        ),
        "an image that nobody offered": Case(
            cell("key", 0, "odd"),
            ["{} is not what the candidates of adaneg come to: it lacks images of memory/candidates/part-data-"],
        ),
        "a row that there is not": Case(
            rewritten(lambda table: table.filter(pa.array([name == "adaneg" for name in table["method"].to_pylist()]))),
            [f"{EXTRA}: there is an image", "{} is not what the candidates of interneg come to: it lacks images of"],
        ),
        "a negative row": Case(cell("row", 0, -1), ["{}: there is an image for row -1"]),
        "huge row": Case(cell("row", 0, 2**62), ["{}: the images of adaneg are not as a memory keeps them"]),
        "of other shards": Case(told(shards='["x"]'), ["{}: it is not of the shards that are planned"]),
        "of shards that are no list": Case(told(shards="7"), ["{} cannot be checked: "]),
        "a snapshot beside it": Case(
            beside("snapshot-9.parquet"), ["memory/snapshot-9.parquet is none of this scan's"]
        ),
        "a snapshot of no number": Case(beside("snapshot-x.parquet"), ["memory/snapshot-x.parquet is none of this"]),
    },
    EXTRA: {
        "an unknown key": Case(cell("key", 0, "odd"), ["{}: there is an image 'odd' that memory/snapshot-4.parquet"]),
        "another method": Case(cell("method", 0, "adaneg"), ["{}: there is an image"]),
        "another row": Case(cell("row", 0, 10**12), ["{}: there is an image"]),
        "not of unit length": Case(
            cell("embedding", 0, [2, 0, 0, 0]), ["{}: there are embeddings that are not of unit"]
        ),
    },
    VERDICTS: {
        "more than there are images": Case(cell("verdicts", 0, 10**12), ["{}: 1 of 1000000000000 verdicts cannot be"]),
        "negative": Case(cell("positive", 0, -1), ["{}: -1 of 3 verdicts cannot be"]),
        "another method": Case(cell("method", 0, "odd"), ["{}: the methods are not adaneg"]),
        "no rows": Case(taken(), ["{}: the methods are not adaneg"]),
    },
    VOTES: {
        "a column lost": Case(without("cosine"), ["{}: there is no column 'cosine'"]),
        "an anchor that there is not": Case(cell("anchors", 0, [0, 4]), ["{}: there are votes on anchors that there"]),
        "a negative anchor": Case(cell("anchors", 0, [0, -1]), ["{}: there are votes on anchors that there are not"]),
        "weights that do not sum to 1": Case(
            cell("weights", 0, [0.5, 0.75]), ["{}: there are weights that do not come"]
        ),
        "other weights": Case(cell("weights", 0, [0.5, 0.5]), ["{} is not what its scores were made from"]),
        "other anchors": Case(
            column("anchors", nth(0, lambda _: [3, 2])), ["{} is not what its scores were made from"]
        ),
        "a cosine changed": Case(cell("cosine", 3, 0.01), ["{} is not what its scores were made from"]),
        "log-odds changed": Case(cell("log_odds", 0, 1.0), ["{} is not of the scores by neglabel"]),
        "NaN": Case(cell("log_odds", 0, np.nan), ["{}: column 'log_odds' has numbers that are not finite"]),
        "a part of a vote lost": Case(cell("cosine", 0, None), ["{}: there are votes of which a part is missing"]),
        "rows lost": Case(rewritten(lambda table: table.slice(0, 3)), ["{} has not the rows of its score table"]),
        "rows swapped": Case(taken(1, 0, 2, 3), ["{}: the rows are not those of its shard, in order"]),
        "the file of another shard": Case(of_shard(SECOND), ["{}: the rows are not those of its shard, in order"]),
    },
    ANCHORS: {
        "an anchor lost": Case(
            taken(0, 1, 2),
            [
                f"{SUMS[0]}: it is not of the consensus that was asked for",
            ],
        ),
        "not of unit length": Case(
            cell("embedding", 0, [2, 0, 0, 0]), ["{}: there are embeddings that are not of unit"]
        ),
        "rows swapped": Case(taken(1, 0, 2, 3), ["{}: the anchors are not 0, 1, 2"]),
    },
    SUMS[0]: {
        "other totals": Case(
            told(totals='{"largest": 0.0, "totals": {"count": "0x1", "log_odds": "0x1"}}'),
            ["{} is not what the votes come to"],
        ),
        "no totals": Case(told(totals='{"largest": 0.0, "totals": {}}'), ["{}: it is not of the consensus that was"]),
        "totals that are a list": Case(told(totals="[]"), ["{} cannot be checked: "]),
        "totals that are no JSON": Case(told(totals=b"\xff"), ["{} cannot be checked: "]),
        "huge totals": Case(
            told(totals=json.dumps({"largest": 0, "totals": {"count": "0x1", "log_odds": "0x" + "f" * 2000}})),
            ["{} cannot be checked: "],
        ),
    },
    SUMS[2]: {
        "a column lost": Case(without("value_1"), ["{}: there is no column 'value_1'"]),
        "another sum": Case(column("value_0", nth(0, lambda value: value + 1)), ["{} is not what the votes come to"]),
        "huge sum": Case(cell("value_0", 0, 2**62), ["{}: there are sums that cannot be"]),
        "an anchor lost": Case(taken(0, 1, 2), ["{}: it is not of the consensus that was asked for"]),
        "rows swapped": Case(taken(1, 0, 2, 3), ["{}: the anchors are not 0, 1, 2"]),
    },
    SUMS[6]: {"sums beside them": Case(beside("sums-7.parquet"), ["consensus/sums-7.parquet is none of this scan's"])},
}

NOT_JSON_OF_A_SCAN = [
    "[]",
    "7",
    "null",
    '"x"',
    "{}",
    '{"identity": []}',
    "{",
    "",
    "\ufeff{}",
    "[" * 100_000,
    "9" * 5000,
]

OF_JSON: dict[str, dict[str, Case]] = {
    RECORD: {
        "missing": Case(missing, ["{} is missing"]),
        "a folder in its place": Case(a_folder, ["{} cannot be read: "]),
        **{text[:20]: Case(written(text), ["{} is damaged: "]) for text in NOT_JSON_OF_A_SCAN},
        "not UTF-8": Case(written(b"\xff\xfe\x00"), ["{} is damaged: "]),
        "cut": Case(cut, ["{} is damaged: "]),
        **{
            f"{field} is {value!r}": Case(
                edited(lambda record, f=field, v=value: record.update({f: v})), ["{} is damaged: "]
            )
            for field in ("identity", "config")
            for value in ([], 7, None, "x", [[1, 2]], *([{}, {"a": {"b": []}}] if field == "config" else []))
        }
        | {
            f"identity is {value!r}": Case(
                edited(lambda record, v=value: record.update(identity=v)),
                ["{}: the fingerprint is not that of what it records"],
            )
            for value in ({}, {"a": {"b": []}})
        }
        | {
            f"fingerprint is {value!r}": Case(
                edited(lambda record, v=value: record.update(fingerprint=v)),
                ["{}: the fingerprint is not that of what it records"],
            )
            for value in ([], 7, None, "x", {})
        },
        "an unknown method": Case(edited(lambda record: record["config"].update(method=["odd"])), ["{} is damaged: "]),
        "a method that is no text": Case(
            edited(lambda record: record["config"].update(method=[7])), ["{} is damaged: "]
        ),
        "an unknown option": Case(edited(lambda record: record["config"].update(odd=1)), ["{} is damaged: "]),
        "another label bank": Case(
            edited(lambda record: record["identity"].update(labels="x")), ["{}: the fingerprint is not that of what"]
        ),
        "other parameters": Case(
            edited(lambda record: record["config"].update(param={"mcm.temperature": 2})),
            ["{}: mcm.temperature is 2.0 in its configuration, and 1.0 in its identity"],
        ),
        "no more embeddings": Case(
            edited(lambda record: record["config"].update(embeddings=False)),
            ["{}: embeddings is False in its configuration, and True in its identity"],
        ),
    },
    SUMMARY: {
        "missing": Case(missing, ["{} is missing: the scan has not ended"]),
        "a folder in its place": Case(a_folder, ["{} is missing: the scan has not ended"]),
        **{text[:20]: Case(written(text), ["{} cannot be read: "]) for text in NOT_JSON_OF_A_SCAN},
        **{
            f"statuses is {value!r}": Case(
                edited(lambda summary, v=value: summary.update(statuses=v)), ["{} cannot be read: "]
            )
            for value in (7, None, "x", [[1, 2, 3]])
        },
        **{
            f"within_error_budget is {value!r}": Case(
                edited(lambda summary, v=value: summary.update(within_error_budget=v)), ["{}: within_error_budget is"]
            )
            for value in (1, None, "x", [], {})
        },
        "other counts": Case(
            edited(lambda summary: summary["statuses"].update(ok=2)),
            ["{} counts {'ok': 2, 'unreadable-image': 3}, the score tables {'ok': 8, 'unreadable-image': 3}"],
        ),
        "other records": Case(
            edited(lambda summary: summary.update(records=[])), ["{}: records is not what manifest/"]
        ),
        "other quantiles": Case(
            edited(lambda summary: summary["quantiles"]["score_mcm"].update({"0.5": 0.1})),
            ["{}: quantiles is not what manifest/ comes to"],
        ),
        "no success": Case(
            edited(lambda summary: summary.update(within_error_budget=False)),
            ["_SUCCESS and summary.json do not agree"],
        ),
    },
    SUCCESS: {
        "missing": Case(missing, ["_SUCCESS and summary.json do not agree"]),
        "a folder in its place": Case(a_folder, ["_SUCCESS and summary.json do not agree"]),
    },
}

TYPED = {
    SCORES: "score_mcm", EMBEDDINGS: "embedding", MANIFEST: "statuses", GALLERY: "index", PLAN: "urls",
    CANDIDATES: "row", SNAPSHOT: "priority", VOTES: "anchors", SUMS[2]: "value_0",
}  # fmt: skip

CASES = [
    *((file, name, case) for file in (*OF_STATIC, *OF_LEARNED, PLAN) for name, case in ANY_TABLE.items()),
    *(
        (file, "of another scan", Case(of_another_scan, ["{} carries the fingerprint of another scan"]))
        for file in (*OF_STATIC, *OF_LEARNED)
    ),
    *(
        (file, name, case)
        for file in (*OF_STATIC, *OF_LEARNED, PLAN)
        for name, case in GONE.items()
        if file != MANIFEST
    ),
    *((file, name, case) for file, cases in (OF_TABLES | OF_JSON).items() for name, case in cases.items()),
    *(
        (file, f"{name} in {kind}", Case(column(name, values), [f"{{}}: column '{name}' holds {kind.split('<')[0]}"]))
        for file, name in TYPED.items()
        for kind, values in TYPES.items()
    ),
]


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scan(tmp_path_factory.mktemp("static"), STATIC)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scan(tmp_path_factory.mktemp("learned"), LEARNED)


def test_whole_scans_have_no_problems(static: Path, learned: Path) -> None:
    assert [verify(str(out), {}, tables=True).problems for out in (static, learned)] == [[], []]
    assert [verify(str(out), {}).problems for out in (static, learned)] == [[], []]


@pytest.mark.parametrize(("file", "case"), [pytest.param(f, c, id=f"{f} {name}") for f, name, c in CASES])
def test_every_damage_is_named_and_nothing_else(
    static: Path, learned: Path, tmp_path: Path, file: str, case: Case
) -> None:
    whole = static if file in (*OF_STATIC, PLAN, RECORD, SUMMARY, SUCCESS) else learned
    out = Path(shutil.copytree(whole, tmp_path / "out"))
    case.damage(out / file)
    problems = verify(str(out), {}, tables=True).problems
    changed = f"{file} is not the file that was committed"
    others = [problem for problem in problems if problem != changed or not case.problems]
    wanted = [problem.replace("{}", file) for problem in case.problems or [changed]]
    assert len(others) == len(wanted) and all(map(str.startswith, others, wanted)), problems
    verify(str(out), {})
