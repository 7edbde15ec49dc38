"""The encoder: a Ray actor that reads, decodes, encodes, scores and commits shards, each stage in threads of its own.

Records flow from stage to stage in queues, those of one shard behind or among those of others, so that blocks fill
across shards and calls. A stage waits for another only for want of work, or of room for what it has done.
"""

import itertools
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ood_core.decoding import Decoder
from pipelines.config.scan import Read
from pipelines.inputs.plan import Shard, shards_of
from pipelines.inputs.readers.record import Record
from pipelines.inputs.records import error_rows, records
from pipelines.runtime.model import ModelSpec
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.receipts import Receipt, receipts_table
from pipelines.scans.workers.attempts import MOST_DEATHS
from pipelines.scans.workers.careful import Careful
from pipelines.scans.workers.decode import Decoded, decode
from pipelines.scans.workers.decode_watch import DecodeWatch, Place
from pipelines.scans.workers.encode import Encoded, ImageEncoder, ScoreImages, ScoreSpec
from pipelines.scans.workers.open_shard import OpenShard
from pipelines.scans.workers.room import Room

READ_AHEAD_BYTES, READ_AHEAD_BLOCKS = 128 * 2**20, 3
"""Of images that have been read and are not encoded yet."""
MOST_READERS, WRITERS = 4, 2
"""Shards that an encoder reads at once, as far as it has threads to decode them, and writes at once."""


Source = Callable[[Shard, Read, Mapping[str, Any], Counter[str]], Iterable[Record]]
"""Reads the records of a shard, and counts what it passes over; see `records`."""


@dataclass(frozen=True)
class EncodeSpec:
    """What an encoder needs. `decode_threads`: beside the one that encodes; `batch_size`: images scored at once;
    `source`: of a shard's records."""

    read: Read
    options: Mapping[str, Any] = field(repr=False)
    decoder: Decoder
    model: ModelSpec
    score: ScoreSpec
    decode_threads: int = 1
    batch_size: int = 128
    source: Source = records


class Picture(NamedTuple):
    """A record on its way, the shard that it is of, and what a thread decodes of it, with the seconds that it took.

    None for one without a picture, which costs no thread and takes no room.
    """

    shard: OpenShard
    record: Record
    decoded: "Future[tuple[Decoded, float]] | None"

    def result(self) -> tuple[Decoded, float]:
        """What has been decoded, when it is."""
        return self.decoded.result() if self.decoded else (Decoded(self.record.status, self.record.error), 0.0)


class Block(NamedTuple):
    """A block of encoded pictures, and the shard and the key of each."""

    encoded: Encoded
    shards: list[OpenShard]
    keys: list[str]


class EncodeShards:
    """Turns ranges of shards into committed files and their receipts; shards that are committed are passed over.

    Several calls at once share the stages: what the last block of one leaves empty, the next one fills. `attempts`: the
    actor that knows what earlier workers have died over, and images that take too long; None to know of neither.
    """

    def __init__(self, spec: EncodeSpec, committer: Committer, attempts: Any = None) -> None:
        self.spec, self.committer = spec, committer
        self.careful = Careful(attempts, self.commit, self._give_up) if attempts is not None else None
        local = any(chosen.needs_local_features for chosen in spec.score.methods.values())
        self.encoder = ImageEncoder(spec.model, local)
        self.score = ScoreImages(spec.score, self.encoder)
        self.nothing = self.score.nothing()
        block = self.encoder.encoder.image_block
        self.room = Room(READ_AHEAD_BLOCKS * block + 2 * spec.decode_threads, READ_AHEAD_BYTES)
        self.asked: queue.SimpleQueue[OpenShard] = queue.SimpleQueue()
        self.read: queue.SimpleQueue[Picture | OpenShard | None] = queue.SimpleQueue()
        self.encoded: queue.Queue[Block | OpenShard | None] = queue.Queue(2)
        self.decoders = ThreadPoolExecutor(spec.decode_threads, initializer=self._limit_threads)
        self.writers, self.writing = ThreadPoolExecutor(WRITERS), threading.Semaphore(2 * WRITERS)
        self.open, self.reading, self.failed = set[OpenShard](), 0, None
        self.watch = DecodeWatch(spec.read.max_decode_s, self.careful.end_over) if self.careful else None
        self.lock, self.ready = threading.Lock(), time.time()
        readers = min(MOST_READERS, spec.decode_threads)
        for stage in [self._read] * readers + [self._encode, self._score]:
            threading.Thread(target=self._run, args=(stage,), daemon=True).start()

    def __call__(self, shards: pa.Table) -> Iterator[pa.Table]:
        """For Ray Data: the receipts of a range of shards."""
        asked = shards_of(shards)
        yield receipts_table(self.careful(asked) if self.careful else self.commit(asked))

    def commit(self, shards: Sequence[Shard]) -> list[Receipt]:
        """Commits shards and returns their receipts. Raises whatever a stage has raised."""
        opened = [OpenShard(shard) for shard in shards]
        with self.lock:
            if self.failed:
                raise self.failed
            self.open.update(opened)
        for shard in opened:
            self.asked.put(shard)
        return [shard.receipt.result() for shard in opened]

    def _give_up(self, shard: Shard) -> Receipt:
        """Commits rows that say that workers die over the shard."""
        opened = OpenShard(shard)
        for record in error_rows(shard, "crashed-worker", f"{MOST_DEATHS} workers have died while they read its shard"):
            opened.add(record, Decoded(record.status, record.error))
        return self.committer.commit(shard.id, opened.table(self.nothing), {"ready": self.ready})

    def _run(self, stage: Callable[[], None]) -> None:
        """A stage, for as long as the actor lives. If it fails, so does every shard that is open, now or later."""
        self._limit_threads()
        try:
            stage()
        except BaseException as error:
            self._fail(error)

    def _limit_threads(self) -> None:
        import torch

        torch.set_num_threads(self.spec.model.threads)

    def _fail(self, error: BaseException) -> None:
        with self.lock:
            self.failed, failing = error, self.open
            self.open = set()
        for shard in failing:
            shard.receipt.set_exception(error)

    def _done(self, shard: OpenShard, receipt: Receipt) -> None:
        with self.lock:
            if shard not in self.open:
                return
            self.open.discard(shard)
        shard.receipt.set_result(receipt)

    def _read(self) -> None:
        """Reads the records of shards that are asked for, and has each decoded; says when there are no more for now."""
        while True:
            shard = self.asked.get()
            with self.lock:
                self.reading += 1
            if known := self.committer.known(shard.shard.id):
                self._done(shard, known)
            else:
                self._read_records(shard)
                self.read.put(shard)
            with self.lock:
                self.reading -= 1
                idle = not self.reading and self.asked.empty()
            if idle:
                self.read.put(None)

    def _read_records(self, shard: OpenShard) -> None:
        start = time.perf_counter()
        found = self.spec.source(shard.shard, self.spec.read, self.spec.options, shard.passed_over)
        for place, record in ((Place(shard.shard.id, index), record) for index, record in enumerate(found)):
            shard.times["read_s"] += time.perf_counter() - start
            if self.careful and place in self.careful.slow and record.status == "ok":
                error = f"it was not decoded within {self.spec.read.max_decode_s:g} s"
                record = replace(record, content=b"", status="too-slow", error=error)
            self.read.put(Picture(shard, record, self._decoding(place, record) if record.status == "ok" else None))
            start = time.perf_counter()

    def _decoding(self, place: Place, record: Record) -> "Future[tuple[Decoded, float]]":
        """Has a record decoded, as soon as there is room for it."""
        self.room.take(len(record.content))
        return self.decoders.submit(self._watched, place, record)

    def _watched(self, place: Place, record: Record) -> tuple[Decoded, float]:
        with self.watch.over(place) if self.watch else nullcontext():
            return self._decode(record)

    def _decode(self, record: Record) -> tuple[Decoded, float]:
        start = time.perf_counter()
        return decode(record, self.spec.decoder), time.perf_counter() - start

    def _encode(self) -> None:
        """Fills blocks with pictures and encodes them; one that is not full only when nothing else is read."""
        pixels, shards, keys = self.encoder.room().numpy(), list[OpenShard](), list[str]()
        while True:
            item = self.read.get()
            if isinstance(item, Picture):
                decoded, seconds = item.result()
                if item.decoded:
                    self.room.free(len(item.record.content))
                item.shard.times["decode_s"] += seconds
                item.shard.add(item.record, decoded)
                if decoded.pixels is not None:
                    pixels[len(shards)] = decoded.pixels
                    shards.append(item.shard)
                    keys.append(item.record.key)
            if len(shards) == len(pixels) or (item is None and shards):
                self.encoded.put(self._encoded_block(shards, keys))
                pixels, shards, keys = self.encoder.room().numpy(), [], []
            if not isinstance(item, Picture):
                self.encoded.put(item)

    def _encoded_block(self, shards: list[OpenShard], keys: list[str]) -> Block:
        start = time.perf_counter()
        encoded = self.encoder(len(shards))
        _share(shards, "encode_s", time.perf_counter() - start)
        return Block(encoded, shards, keys)

    def _score(self) -> None:
        """Scores the encoded blocks, some at once, and has shards written that are whole."""
        blocks: list[Block] = []
        ended: list[OpenShard] = []
        while True:
            item = self.encoded.get()
            if isinstance(item, Block):
                blocks.append(item)
            elif item is not None:
                item.ended = True
                ended.append(item)
            waiting = sum(len(block.keys) for block in blocks)
            if waiting >= self.spec.batch_size or (item is None and waiting):
                self._score_blocks(blocks)
                blocks = []
            for shard in [shard for shard in ended if shard.whole]:
                ended.remove(shard)
                self.writing.acquire()
                self.writers.submit(self._write, shard)

    def _score_blocks(self, blocks: list[Block]) -> None:
        start = time.perf_counter()
        shards = list(itertools.chain.from_iterable(block.shards for block in blocks))
        keys = list(itertools.chain.from_iterable(block.keys for block in blocks))
        scores = self.score([block.encoded for block in blocks], keys)
        for shard in dict.fromkeys(shards):
            rows = np.flatnonzero([other is shard for other in shards])
            shard.add_scores(scores if len(rows) == len(scores) else scores.take(rows))
        _share(shards, "score_s", time.perf_counter() - start)

    def _write(self, shard: OpenShard) -> None:
        try:
            start = time.perf_counter()
            rows = shard.table(self.nothing)
            receipt = self.committer.commit(shard.shard.id, rows, {"ready": self.ready, **shard.times})
            self._done(shard, receipt | {"write_s": time.perf_counter() - start})
        except BaseException as error:
            self._fail(error)
        finally:
            self.writing.release()


def _share(shards: Sequence[OpenShard], name: str, seconds: float) -> None:
    """Shares the seconds that pictures took among the shards that they are of."""
    for shard in shards:
        shard.times[name] += seconds / len(shards)
