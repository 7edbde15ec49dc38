import io
import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.exports.choice import Choice
from pipelines.exports.datacomp import MAX_JSON_BYTES, find_uids, kept_uids, packed, write_subset
from pipelines.inputs.plan import blocks_of
from tests.conftest import write_tar
from tests.pipelines.exports.scored import job, make_scan, planned_shards

UIDS = ["139e4a9b22a614771f06c700a8ebe150", "6e356964a967af455c8016b75d691203", "ffffffffffffffff0000000000000000"]


def by_datacomp(uids: list[str]) -> np.ndarray:
    """As the README of DataComp does it."""
    found = np.array([(int(uid[:16], 16), int(uid[16:32], 16)) for uid in uids], np.dtype("u8,u8"))
    found.sort()
    return found


def test_a_subset_file_is_what_datacomp_would_write() -> None:
    file = io.BytesIO()
    write_subset(file, [packed([UIDS[2]]), packed(UIDS[:2]), packed([])])
    written = np.load(io.BytesIO(file.getvalue()))
    assert written.dtype == np.dtype("u8,u8")
    assert np.array_equal(written, by_datacomp(UIDS))


def uids_of(root: Path, source: Path) -> list[str]:
    asked, (shard,) = job(make_scan(root, [source]), root / "out"), planned_shards([source]).shards
    return kept_uids(asked, asked.tables.decided(shard, Choice("mcm")))


def test_the_uid_is_the_key_where_that_is_one(tmp_path: Path) -> None:
    write_tar(tmp_path / "data.tar", {f"{UIDS[0]}.jpg": b"1", f"{UIDS[1].upper()}.jpg": b"2", "bad.jpg": b"3"})
    assert uids_of(tmp_path, tmp_path / "data.tar") == [UIDS[0], UIDS[1].upper()]


def test_the_uid_is_else_in_the_json_beside_an_image(tmp_path: Path) -> None:
    """As img2dataset writes DataComp's shards."""
    members = {}
    for number, uid in enumerate(UIDS):
        members |= {f"{number:09d}.jpg": b"x", f"{number:09d}.json": json.dumps({"uid": uid, "width": 1}).encode()}
    write_tar(tmp_path / "data.tar", members | {"bad.jpg": b"x"})
    assert uids_of(tmp_path, tmp_path / "data.tar") == UIDS


@pytest.mark.parametrize(
    "beside", [b"{", b"[]", b'{"uid": "12"}', b'{"uid": 3}', b"[" * 10**5, b" " * (MAX_JSON_BYTES + 1)]
)
def test_a_record_without_a_uid_is_named(tmp_path: Path, beside: bytes) -> None:
    write_tar(tmp_path / "data.tar", {"a.jpg": b"x", "a.json": beside})
    asked, shards = (
        job(make_scan(tmp_path, [tmp_path / "data.tar"]), tmp_path / "out"),
        planned_shards([tmp_path / "data.tar"]),
    )
    (answer,) = find_uids(asked, blocks_of([shards.shards])[0])
    (problem,) = answer["problem"].to_pylist()
    assert problem.startswith(f"the key of record 0 of {shards.shards[0].id}, 'a', is no 32 hexadecimal digits, nor")
