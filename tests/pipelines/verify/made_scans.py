"""Small scans made by hand with the real committer: one of methods that learn nothing, one with all that learning and
consensus leave, and one that takes verdicts in."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.consensus.log_odds import log_odds
from ood_core.consensus.votes import Votes
from ood_core.memory import Candidates, MemoryBank
from ood_core.methods import METHODS, deciding_method, of_images, score_column
from pipelines.config.model import Model
from pipelines.config.scan import Scan
from pipelines.consensus.asked import Asked, ChainName
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.tables import votes_of, votes_table
from pipelines.consensus.workers import tell, with_neighbours
from pipelines.flags.workers import with_flags
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.plan import Shard
from pipelines.memory.files import MemoryFiles, memory_table
from pipelines.memory.orders import methods_with_memory
from pipelines.scan_directory.columns import scattered
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.identity import Fingerprints, asked_for, begin, model_identity
from pipelines.scan_directory.kinds import gallery_choices
from pipelines.scan_directory.layout import (
    CANDIDATES,
    EXTRA_NEGATIVES,
    FINGERPRINT_KEY,
    GALLERY_FILE,
    VERDICTS,
    VOTES,
    table_bytes,
)
from pipelines.scan_directory.receipts import receipts_table
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory
from pipelines.verdicts.kept import Verdicts, keep
from pipelines.verdicts.tables import COLUMNS
from tests.pipelines.made_scan import FACTS, SPEC, end, renamed

EMPTY, FIRST, SECOND, THIRD = SHARDS = "empty-e0e0e0e0", "data-11111111", "data-22222222", "data-33333333"
STATIC, LEARNED = ("mcm", "neglabel"), ("neglabel", "adaneg", "interneg", "consensus")
TOLD = ("mcm", "neglabel", "verdicts", "consensus")
PARAMETERS = {
    STATIC: {},
    LEARNED: {
        "adaneg.adaptive_gap": True, "adaneg.memory_length": 3, "interneg.max_inversions": 4, "consensus.nearest": 2,
    },
    TOLD: {"verdicts.base": "mcm", "consensus.nearest": 2, "consensus.rounds": 2},
}  # fmt: skip
SAID = ((FIRST, 0, 1.0, "mara"), (FIRST, 0, 0.0, "joe"), (SECOND, 2, 0.0, "mara"), (THIRD, 0, 0.5, None))
DIM, ANCHORS, LABELS = 4, 4, 6
BAD = 1
"""The row of every shard that has no scores."""


def make_scan(root: Path, methods: Sequence[str], seed: int = 0) -> Path:
    """Makes a scan of eleven images in three slices of a folder and of an empty tar; returns its directory."""
    random = np.random.default_rng(seed)
    (root / "data").mkdir()
    (root / "data/empty.tar").write_bytes(bytes(10240))
    for number in range(11):
        (root / f"data/{number:02d}.jpg").write_bytes(b"image")
    config = Scan(
        input=(str(root / "data"),), labels="bank", output=str(root / "out"), method=tuple(methods),
        param=PARAMETERS[tuple(methods)], model=Model(name="bundled"), embeddings=True, max_bad_fraction=0.5,
        read={"images_per_shard": 4},  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    planned = renamed(plan_images(config.input, config.read, {}), SHARDS)
    output, chosen = Directory(config.output), config.methods()
    identity = asked_for(config, chosen, f"bank {seed}", planned) | model_identity(SPEC, FACTS)
    begin(output, config, identity, planned)
    made = {shard.id: _rows(shard, list(of_images(chosen)), random) for shard in planned.shards}
    fingerprints = Fingerprints.of_identity(identity, chosen, False)
    committer = Committer(output, fingerprints.scores)
    if methods_with_memory(chosen):
        _make_memory(committer, made, random)
    if asked := Asked.of(chosen, "verdicts" in chosen):
        made = _with_neighbours(committer, asked, config.method, made, random)
    tally = Tally()
    for shard, rows in made.items():
        tally.add(receipts_table([committer.commit(shard, rows)]))
    deciding = deciding_method(methods)
    tally = end(output, fingerprints, tally, {deciding: 0.4})
    made = {shard: with_flags(rows, {deciding: 0.4}) for shard, rows in made.items()}
    output.put(GALLERY_FILE, table_bytes(_gallery(made, tally, deciding), {FINGERPRINT_KEY: fingerprints.whole}))
    output.put("_SUCCESS", b"")
    return root / "out"


def _unit(count: int, random: np.random.Generator, kind: Any = np.float32) -> np.ndarray:
    drawn = random.normal(size=(count, DIM))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(kind)


def _good(rows: pa.Table) -> np.ndarray:
    return np.flatnonzero([status == "ok" for status in rows["status"].to_pylist()])


def _rows(shard: Shard, methods: Sequence[str], random: np.random.Generator) -> pa.Table:
    count = len(shard.keys)
    good = [row != BAD for row in range(count)]
    vectors = iter(_unit(count, random, np.float16))
    scores = {
        score_column(name): pa.array([float(random.uniform(0.2, 0.9)) if ok else None for ok in good], pa.float64())
        for name in methods
    }
    embeddings = [next(vectors) if ok else None for ok in good]
    return pa.table(
        {
            "shard": pa.array([shard.id] * count, pa.string()),
            "index": pa.array(range(count), pa.int64()),
            "key": pa.array(shard.keys, pa.string()),
            "status": pa.array(["ok" if ok else "unreadable-image" for ok in good], pa.string()),
            "error": pa.array([None if ok else "broken" for ok in good], pa.string()),
            "negative_label": pa.array(["hammer" if ok else None for ok in good], pa.string()),
            **scores,
            "embedding": pa.array(embeddings, pa.list_(pa.float16(), DIM)),
        }
    )


def _make_memory(committer: Committer, made: dict[str, pa.Table], random: np.random.Generator) -> None:
    files = MemoryFiles(committer.output, committer.fingerprint, DIM)
    banks = {
        "adaneg": MemoryBank(METHODS["adaneg"](memory_length=3).capacities(LABELS, 2, False), DIM),  # pyright: ignore
        "interneg": MemoryBank(METHODS["interneg"](max_inversions=4).capacities(LABELS, 2, False), DIM),  # pyright: ignore
    }
    for shard, rows in made.items():
        good, tables = _good(rows), []
        for name, most in (("adaneg", LABELS), ("interneg", 3)):
            keys = [rows["key"][row].as_py() for row in good.tolist()]
            images = Candidates(
                random.integers(0, most, len(good)), random.random(len(good)), keys, _unit(len(good), random)
            )
            banks[name].offer(images)
            tables.append(memory_table(name, images))
        counts = {"method": ["adaneg"], "positive": [len(good) // 2], "verdicts": [len(good)]}
        for folder, table in ((CANDIDATES, pa.concat_tables(tables)), (VERDICTS, pa.table(counts))):
            Committer(committer.output, committer.fingerprint, folder).commit(shard, table)
    files.put_snapshot({name: bank.snapshot() for name, bank in banks.items()}, made)
    inverted = banks["interneg"].snapshot().of_rows(0, 1)
    files.put(EXTRA_NEGATIVES, memory_table("interneg", inverted.take(np.arange(1))))


def _with_neighbours(
    committer: Committer, asked: Asked, methods: Sequence[str], made: dict[str, pa.Table], random: np.random.Generator
) -> dict[str, pa.Table]:
    files, told, chains = ConsensusFiles(committer.output, committer.fingerprint), None, dict[ChainName, Any]()
    files.put_anchors(anchors := _unit(ANCHORS, random))
    voted = {shard: _votes(shard, rows, asked, random) for shard, rows in made.items()}
    for shard, table in voted.items():
        Committer(committer.output, committer.fingerprint, VOTES).commit(shard, table)
    if asked.has_verdicts:
        told, votes = tell(keep(committer.output, _verdicts(made)), anchors, asked.parameters)
        files.put_told(told, votes)
    for name in asked.chains:
        chain = asked.start(name, ANCHORS, 0, None, told)
        while not chain.finished:
            sums = reduce(add, (chain.sums(votes_of(table, asked.column(name))) for table in voted.values()))
            files.put_sums(len(chain.known), sums, name)
            chain = chain.after(sums)
        chains[name] = chain
    known = asked.known(chains, told)
    return {shard: with_neighbours(rows, voted[shard], known, asked, methods) for shard, rows in made.items()}


def _votes(shard: str, rows: pa.Table, asked: Asked, random: np.random.Generator) -> pa.Table:
    good, scores = _good(rows), rows["score_neglabel"].drop_null().to_numpy()
    first = (scores * ANCHORS).astype(np.int32)  # so that an image's neighbours have scores like its own
    anchors = np.stack([first, (first + 1) % ANCHORS], axis=1)
    weights = np.tile(np.array([0.75, 0.25], np.float32), (len(good), 1))
    cosines = random.uniform(0.3, 0.9, len(good)).astype(np.float32)
    votes = votes_table(Votes(np.zeros(len(good)), anchors, weights, cosines))
    columns = {name: votes[name].combine_chunks() for name in votes.column_names}
    for name, base in asked.columns.items():
        values = rows[score_column(base)].drop_null().to_numpy()
        columns[name] = pa.array(log_odds(values, METHODS[base]()))  # pyright: ignore[reportArgumentType]
    columns = {name: scattered(values, good, len(rows)) for name, values in columns.items()}
    return pa.table({"shard": rows["shard"], "index": rows["index"], **columns})


def _verdicts(made: dict[str, pa.Table]) -> Verdicts:
    """What two people have said of three images."""
    rows = [
        {**made[shard].to_pylist()[index], "belongs": belongs, "by": by, "at": datetime(2026, 1, 31, tzinfo=UTC)}
        for shard, index, belongs, by in SAID
    ]
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    embeddings = pa.array([row["embedding"] for row in rows], pa.list_(pa.float16(), DIM))
    return Verdicts.of([pa.table({**columns, "embedding": embeddings})], DIM, "the answers")


def _gallery(made: dict[str, pa.Table], tally: Tally, deciding: str) -> pa.Table:
    methods, ranks = {score_column(name): name for name in METHODS}, Counter()
    parts = []
    for choice in gallery_choices(tally, deciding).to_pylist():
        row = made[choice["shard"]].drop_columns("embedding").slice(choice["index"], 1)
        place = methods[choice["column"]], choice["kind"]
        told = {"method": [place[0]], "kind": [place[1]], "rank": [ranks[place]]}
        parts.append(pa.table({**told, **{name: row[name] for name in row.column_names}}))
        ranks[place] += 1
    return pa.concat_tables(parts).append_column("thumbnail", pa.nulls(len(parts), pa.binary()))
