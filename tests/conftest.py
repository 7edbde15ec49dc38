"""A small dataset of every kind of input, a small label bank, one Ray session, and storage of three kinds."""

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
DEMO = REPOSITORY / "pipelines" / "demo"
ID_LABELS = ["cat", "dog", "horse", "bird", "fish"]
NEGATIVES = ["hammer", "flag", "computer", "guitar", "bridge", "shirt", "button", "red", "round"]


def picture(seed: int, size: tuple[int, int] = (90, 70)) -> Image.Image:
    """A picture of coloured blocks, each seed its own."""
    cells = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return Image.fromarray(cells).resize(size, Image.Resampling.NEAREST)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tars, a Parquet file and a folder: 130 pictures, of which four are bad."""
    root = tmp_path_factory.mktemp("dataset")
    for number in range(2):
        members: dict[str, bytes] = {}
        for index in range(40):
            members[f"{number}-{index:03d}.png"] = encoded(picture(number * 100 + index))
            members[f"{number}-{index:03d}.json"] = json.dumps({"caption": "blocks"}).encode()
        write_tar(root / f"shard-{number}.tar", members)
    cells = [encoded(picture(300 + index), "JPEG") for index in range(20)]
    table = pa.table({"key": [f"row-{index}" for index in range(20)], "image": [None, *cells[1:]]})
    pq.write_table(table, root / "table.parquet")
    folder = root / "folder"
    folder.mkdir()
    for index in range(30):
        (folder / f"{index:02d}.webp").write_bytes(encoded(picture(400 + index), "WEBP"))
    (folder / "03.webp").write_bytes(b"")
    (folder / "07.webp").write_bytes(b"not a picture")
    (folder / "11.webp").write_bytes(encoded(picture(411), "PNG")[:300])
    (folder / "notes.md").write_text("not an image")
    return root


@pytest.fixture(scope="session")
def bank_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A label bank of five ID and nine negative labels, made with the bundled model."""
    from ood_core.encoders import ClipEncoder
    from ood_core.labels import BankInfo, LabelBank

    encoder = ClipEncoder.load(f"local-dir:{DEMO / 'model'}")
    texts = ID_LABELS + NEGATIVES
    bank = LabelBank(
        texts=texts,
        parts=["noun"] * 12 + ["adjective"] * 2,
        id_count=len(ID_LABELS),
        embeddings=encoder.encode_ensembles(["the nice {}"], texts).numpy(),
        selection_scores=np.full(len(texts), np.nan),
        verdicts=[None] * len(texts),
        info=BankInfo(model="bundled", weights=encoder.fingerprint, temperature=encoder.temperature),
    )
    directory = tmp_path_factory.mktemp("bank")
    bank.save(directory)
    return directory


@cache
def settled_dtype(model: str) -> str:
    """The dtype that a scan on this machine encodes with, if none is given."""
    from pipelines.runtime.model import ModelSpec, describe

    facts = describe(ModelSpec(model, dtype="auto"))
    assert not isinstance(facts, str), facts
    return facts.dtype


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """One Ray session for all tests of a run; `cluster()` joins it."""
    import ray

    from pipelines.runtime.cluster import cluster

    with cluster():
        yield
    assert not ray.is_initialized()


@dataclass(frozen=True)
class Storage:
    """A place to keep files, and the options that reach it."""

    root: str
    options: dict[str, str]

    def upload(self, source: Path, name: str) -> str:
        import fsspec

        files, path = fsspec.core.url_to_fs(f"{self.root}/{name}", **self.options)
        files.put(str(source), path, recursive=True)
        return f"{self.root}/{name}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """An S3 server that takes any credentials."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def ceph_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Ceph RADOS Gateway: a real S3 server, on loopback, its data in memory."""
    if shutil.which("radosgw") is None:
        if os.environ.get("CI"):
            pytest.fail("radosgw is missing: .ci/run installs it")
        pytest.skip("radosgw is not installed (Debian: radosgw ceph-mon ceph-osd ceph-common)")
    directory, port = tmp_path_factory.mktemp("ceph"), free_port()
    script = REPOSITORY / "tests" / "ceph_gateway.sh"
    subprocess.run(["bash", script, "start", directory, str(port)], check=True, timeout=120, capture_output=True)
    yield f"http://127.0.0.1:{port}"
    subprocess.run(["bash", script, "stop", directory], check=True, timeout=60)


@pytest.fixture(params=["local", "moto", "ceph"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Local disk, moto's S3 and Ceph's, one after the other."""
    if request.param == "local":
        return Storage(str(tmp_path), {})
    import s3fs

    options = {
        "endpoint_url": request.getfixturevalue(f"{request.param}_endpoint"),
        "key": "AKtest",
        "secret": "SKtest",
    }
    bucket = f"test-{uuid.uuid4().hex[:8]}"
    s3fs.S3FileSystem(**options).call_s3("create_bucket", Bucket=bucket)
    return Storage(f"s3://{bucket}", options)
