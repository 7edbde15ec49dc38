"""Connections to object storage that are cut in the middle of an answer cost no record."""

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from pipelines.config.scan import Read
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.records import records
from tests.pipelines.cutting_proxy import cutting
from tests.pipelines.inputs.placeless import placeless

IMAGES = {f"{number:03d}": random.Random(number).randbytes(20_000) for number in range(60)}


def write_tar(folder: Path) -> None:
    with tarfile.open(folder / "shard.tar", "w") as archive:
        for key, content in IMAGES.items():
            member = tarfile.TarInfo(f"{key}.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_parquet(folder: Path) -> None:
    columns = {"key": list(IMAGES), "image": list(IMAGES.values())}
    pq.write_table(pa.table(columns), folder / "table.parquet", row_group_size=10)


def write_images(folder: Path) -> None:
    for key, content in IMAGES.items():
        (folder / f"{key}.jpg").write_bytes(content)


@pytest.mark.parametrize("write", [write_tar, write_parquet, write_images])
def test_records_read_over_cut_connections_equal_those_read_from_disk(
    moto_endpoint: str, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path)
    options = {"key": "AKtest", "secret": "SKtest", "skip_instance_cache": True}
    bucket = f"cut-{write.__name__.replace('_', '-')}"
    direct = s3fs.S3FileSystem(endpoint_url=moto_endpoint, **options)
    direct.call_s3("create_bucket", Bucket=bucket)
    direct.put(str(tmp_path), f"{bucket}/data", recursive=True)
    (local,) = plan_images([str(tmp_path)], Read(), {}).shards
    expected = placeless(records(local, Read(), {}))
    assert [record.content for record in expected] == list(IMAGES.values())

    server = urlsplit(moto_endpoint)
    with cutting((str(server.hostname), int(server.port or 0)), every=2, after_bytes=10_000) as (proxy, url):
        through = {**options, "endpoint_url": url, "config_kwargs": {"retries": {"max_attempts": 1}}}
        (shard,) = plan_images([f"s3://{bucket}/data"], Read(), through).shards
        assert placeless(records(shard, Read(), through)) == expected
    assert proxy.cuts >= 1
