from typing import Any

import s3fs

from pipelines.storage import Directory
from tests.chaos.failing_s3 import FAULTS, failing_s3

CREDENTIALS: dict[str, Any] = {"key": "AKtest", "secret": "SKtest", "skip_instance_cache": True}


def test_a_storage_that_fails_at_random_gives_the_right_bytes_to_those_who_try_again() -> None:
    content = bytes(range(256)) * 100
    with failing_s3(seed=0) as server:
        options = {**CREDENTIALS, "endpoint_url": server.url}
        files = s3fs.S3FileSystem(**options)
        files.call_s3("create_bucket", Bucket="bucket")
        server.share = 0.3
        directory = Directory("s3://bucket/place", options)
        for number in range(20):
            directory.put(f"{number}", content)
            assert directory.read(f"{number}") == content
        assert len(directory.names()) == 20
    assert set(server.spoiled) == set(FAULTS)
