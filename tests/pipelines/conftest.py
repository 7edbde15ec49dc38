from pathlib import Path

import hypothesis
import pytest
import torch

from ood_core.decoding import Decoder
from ood_core.encoders import ClipEncoder
from pipelines.config.scan import Read
from pipelines.inputs.image_plan import plan_images
from pipelines.inputs.records import records
from pipelines.scans.scan import scan
from pipelines.scans.workers.decode import decode
from tests.conftest import DEMO, settled_dtype
from tests.nights.drawings import drawings as bundled_drawings
from tests.pipelines.scanned_drawings import drawings_asked, write_drawing

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


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 48 bundled drawings, 24 animals and 24 computers, each with something that nobody should be sent."""
    folder = tmp_path_factory.mktemp("drawings")
    for subject in ("animals", "computer"):
        for number, content in enumerate(bundled_drawings(subject)[:24]):
            write_drawing(folder / f"{subject}-{number:02d}.png", content)
    return folder


@pytest.fixture(scope="session")
def scan_of_drawings(
    drawings: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An ended scan of the drawings with consensus, which has kept its embeddings. Nobody has judged any."""
    output = tmp_path_factory.mktemp("scan-of-drawings") / "scan"
    scan(drawings_asked(drawings, bank_directory, output, embeddings=True))
    return output
