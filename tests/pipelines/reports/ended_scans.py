"""Ended scans made by hand with the real committer: every score, label, key and error is chosen, pictures are real."""

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ood_core.labels import BankInfo, LabelBank
from ood_core.methods import deciding_method, score_column
from pipelines.config.model import Model
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.consensus.files import ConsensusFiles
from pipelines.flags.summary import flags_summary
from pipelines.flags.thresholds import MethodThreshold, Thresholds
from pipelines.flags.workers import FlagShards, FlagSpec
from pipelines.inputs.plan import Plan, Shard, shard_id
from pipelines.reports.ended import EndedScan
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.finish import finish
from pipelines.scan_directory.identity import Fingerprints, asked_for, begin, model_identity
from pipelines.scan_directory.kinds import gallery_choices
from pipelines.scan_directory.layout import FINGERPRINT_KEY, GALLERY_FILE, SCORES, shard_file, table_bytes
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import TIMES, receipts_table
from pipelines.scan_directory.summary import Tally
from pipelines.scans.make_gallery import NONE
from pipelines.storage import Directory
from tests.pipelines.made_scan import FACTS, SPEC
from tests.pipelines.reports.html.made_page import webp

ID_LABELS = ("cat", "dog", "horse", "wolf")
RUN = {
    "images": 6, "wall_s": 12.0, "start_up_s": 8.0, "steady_images_per_s": 1234.5, "limited_by": "encode",
    "stages": {"read": {"busy_s": 0.5, "images_per_s": 12.0, "threads": 1},
               "encode": {"busy_s": 3.0, "images_per_s": None, "threads": 2}},
    "steps_s": {"encode": 4.0},
}  # fmt: skip
"""What a summary tells of the last run."""
NO_RUN: Mapping[str, Any] = {"images": 0}
READY = 1_700_000_000.0


def bank_at(place: Path, ids: Sequence[str] = ID_LABELS, negatives: int = 2) -> LabelBank:
    """A label bank of these ID labels, saved at the place unless there is one."""
    if place.exists():
        return LabelBank.load(place)
    count = len(ids) + negatives
    texts = [*ids, *(f"negative {number}" for number in range(negatives))]
    vectors = np.eye(count, max(count, 2), dtype=np.float32)
    bank = LabelBank(texts, ["noun"] * count, len(ids), vectors, np.full(count, np.nan), [None] * count, BankInfo())
    bank.save(place)
    return bank


def rows(scores: Sequence[float | None] | Mapping[str, Sequence[float | None]], **columns: Any) -> pa.Table:
    """The records of a shard, those without a score in error. `scores`: by mcm, or by method; `columns`: beside them.

    Unless they are given, keys are "a/0", "a/1" and so on, and every image is nearest to "cat".
    """
    by_method = scores if isinstance(scores, Mapping) else {"mcm": scores}
    first = next(iter(by_method.values()))
    good, count = [score is not None for score in first], len(first)
    given = {
        "key": [f"a/{row}" for row in range(count)],
        "status": ["ok" if ok else "unreadable-image" for ok in good],
        "id_label": ["cat" if ok else None for ok in good],
        "id_probability": [0.5 if ok else None for ok in good],
        "negative_label": [None] * count,
        **columns,
    }
    kinds = {"id_probability": pa.float64(), "anchor": pa.int64(), "index": pa.int64()}
    before = {name: values for name, values in given.items() if name != "anchor" and values is not None}
    table = {name: pa.array(values, kinds.get(name, pa.string())) for name, values in before.items()}
    table |= {score_column(name): pa.array(values, pa.float64()) for name, values in by_method.items()}
    if "anchor" in given:
        table["anchor"] = pa.array(given["anchor"], pa.int64())
    return pa.table({"shard": pa.array([""] * count), "index": pa.array(range(count), pa.int64()), **table})


@dataclass(frozen=True)
class Made:
    """What a scan is made of, beside its shards, by name.

    `thresholds`: by method, given unless they say otherwise; `settings`: of the configuration; `weights`: of the model;
    `versions`: of shards that are not as they were at first; `anchors`: of consensus; `run`, `learned`: of the
    summary; `picture`: a WebP file of each number.
    """

    shards: Mapping[str, pa.Table]
    methods: Sequence[str] = ("mcm",)
    thresholds: Mapping[str, float | MethodThreshold] = field(default_factory=lambda: {"mcm": 0.5})
    settings: Mapping[str, Any] = field(default_factory=dict)
    bank: Path | None = None
    weights: str = "weights"
    versions: Mapping[str, str] = field(default_factory=dict)
    anchors: np.ndarray | None = None
    run: Mapping[str, Any] = field(default_factory=lambda: NO_RUN)
    learned: Mapping[str, Any] = field(default_factory=dict)
    passed_over: Mapping[str, int] = field(default_factory=dict)
    rescored: bool = False
    picture: Callable[[int], bytes] = webp

    def at(self, place: Path) -> Directory:
        """Makes the scan; its label bank is `bank`, or lies beside it."""
        bank = bank_at(self.bank or place.parent / "bank")
        config, output = self._config(place), Directory(str(place))
        planned, methods = Plan([self._shard(name) for name in self.shards], self.passed_over), config.methods()
        identity = asked_for(config, methods, bank.content_hash(), planned)
        if not self.rescored:
            identity |= model_identity(SPEC, replace(FACTS, weights=self.weights))
        begin(output, config, identity, planned)
        fingerprints = Fingerprints.of_identity(identity, methods, False)
        if self.anchors is not None:
            ConsensusFiles(output, fingerprints.whole).put_anchors(self.anchors)
        tally = self._flagged(output, fingerprints, self._committed(output, fingerprints, planned))
        Manifest(output, fingerprints.whole).replace(tally)
        more = {"learned": dict(self.learned), **flags_summary(output, tally, config.max_flagged)}
        finish(output, planned, config, tally, dict(self.run), more)
        self._put_gallery(output, tally, fingerprints.whole)
        return output

    def read(self, place: Path, called: str = "SCAN") -> EndedScan:
        """Makes the scan and reads what it tells."""
        return EndedScan.read(self.at(place), called)

    def _config(self, place: Path) -> Scan | Rescore:
        bank, settings = str(self.bank or place.parent / "bank"), dict(self.settings)
        common = {"labels": bank, "output": str(place), "method": tuple(self.methods), **settings}
        if self.rescored:
            return Rescore(embeddings=("vectors",), **common)
        return Scan(input=("data",), model=Model(name="bundled"), **common)

    def _shard(self, name: str) -> Shard:
        url = f"data/{name}.tar"
        fingerprint = hashlib.sha256(f"{url} {self.versions.get(name, '')}".encode()).hexdigest()[:16]
        return Shard(shard_id(name, url), "tar", (url,), (), (1000,), fingerprint)

    def _committed(self, output: Directory, fingerprints: Fingerprints, planned: Plan) -> Iterable[pa.Table]:
        committer = Committer(output, fingerprints.scores)
        times = {} if self.run is NO_RUN else {"ready": READY, **dict.fromkeys(TIMES, 0.001)}
        for shard, table in zip(planned.shards, self.shards.values(), strict=True):
            named = table.set_column(0, "shard", pa.array([shard.id] * len(table), pa.string()))
            yield receipts_table([committer.commit(shard.id, named, times)])

    def _flagged(self, output: Directory, fingerprints: Fingerprints, receipts: Iterable[pa.Table]) -> Tally:
        """Flags the committed score tables; returns what all receipts come to."""
        methods = {
            name: found if isinstance(found, MethodThreshold) else MethodThreshold(found, "given")
            for name, found in self.thresholds.items()
        }
        group_by = self.settings.get("group_by", "folder")
        found, tally = Thresholds({}, deciding_method(self.methods), group_by, methods), Tally()
        found.put(output)
        spec = FlagSpec(output, fingerprints.scores, found.values, found.deciding, found.group_by)
        for table in receipts:
            for flagged in FlagShards(spec)(table):
                tally.add(flagged)
        return tally

    def _put_gallery(self, output: Directory, tally: Tally, fingerprint: str) -> None:
        choices = gallery_choices(tally, deciding_method(self.methods)).to_pylist()
        if not choices:
            output.put(GALLERY_FILE, table_bytes(NONE, {FINGERPRINT_KEY: fingerprint}))
            return
        methods, ranks = {score_column(name): name for name in self.methods}, Counter[tuple[str, str]]()
        tables = {shard: table_of(output, shard) for shard in {choice["shard"] for choice in choices}}
        parts = []
        for choice in sorted(choices, key=lambda one: (one["column"], one["kind"], _score_of(tables, one))):
            row, place = tables[choice["shard"]].slice(choice["index"], 1), (methods[choice["column"]], choice["kind"])
            picture = (
                None if self.rescored else self.picture(zlib.crc32(f"{choice['shard']} {choice['index']}".encode()))
            )
            told = {"method": [place[0]], "kind": [place[1]], "rank": [ranks[place]]}
            columns = {name: row[name] for name in row.column_names}
            parts.append(pa.table({**told, **columns, "thumbnail": pa.array([picture], pa.binary())}))
            ranks[place] += 1
        output.put(GALLERY_FILE, table_bytes(pa.concat_tables(parts), {FINGERPRINT_KEY: fingerprint}))


def _score_of(tables: Mapping[str, pa.Table], choice: Mapping[str, Any]) -> float:
    score = tables[choice["shard"]][choice["column"]][choice["index"]].as_py()
    return -score if choice["kind"] == "highest" else score


def table_of(output: Directory, shard: str) -> pa.Table:
    """A shard's score table, with its flags."""
    return pq.read_table(f"{output.url}/{shard_file(SCORES, shard)}").replace_schema_metadata(None)


def all_rows(output: Directory) -> list[dict[str, Any]]:
    """Every row of a scan's score tables."""
    return [row for path in sorted(Path(output.url, SCORES).iterdir()) for row in pq.read_table(path).to_pylist()]
