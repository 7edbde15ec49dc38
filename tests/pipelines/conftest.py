from pathlib import Path

import hypothesis
import pytest
import torch

from ood_core.decoding import Decoder
from ood_core.encoders import ClipEncoder
from pipelines.config.scan import Read
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.records import records
from pipelines.scans.workers.decode import decode
from tests.conftest import DEMO, settled_dtype

hypothesis.settings.register_profile("oodscan", database=None, deadline=None, derandomize=True)
hypothesis.settings.load_profile("oodscan")


@pytest.fixture(scope="session")
def encoded_dataset(dataset: Path) -> tuple[list[str], torch.Tensor]:
    """Keys and embeddings of the dataset's good pictures by the bundled model, in the order of a scan."""
    encoder = ClipEncoder.load(f"local-dir:{DEMO / 'model'}", dtype=settled_dtype("bundled"))
    read = Read(images_per_shard=12)
    keys, pictures = [], []
    for shard in plan_images([str(dataset)], read, {}).shards:
        for record in records(shard, read, {}):
            pixels = decode(record, Decoder(encoder.preprocessing)).pixels
            if pixels is not None:
                keys.append(record.key)
                pictures.append(torch.tensor(pixels))
    return keys, encoder.encode_images(torch.stack(pictures))
