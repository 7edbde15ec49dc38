from pathlib import Path

import pytest

from tests.faults.remembering import asked, scanned


@pytest.fixture(scope="session")
def remembered(
    dataset: Path, bank_directory: Path, ray_session: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An undisturbed scan whose memory fills: one worker, one memory actor."""
    output = tmp_path_factory.mktemp("remembered") / "scan"
    scanned(asked(dataset, bank_directory, output))
    return output
