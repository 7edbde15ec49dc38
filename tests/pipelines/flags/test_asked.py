"""The flags that are asked for: what cannot be made is refused before any work, by option and value."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.config.rescore import ReadEmbeddings, Rescore
from pipelines.config.scan import Scan
from pipelines.errors import CallerError
from pipelines.flags.asked import AskedFlags
from pipelines.flags.thresholds import MethodThreshold, Thresholds
from pipelines.inputs.embedding_plan import plan_embeddings
from pipelines.storage import Directory
from tests.pipelines.made_scan import configured, make_scan

BANK = "bank hash"


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """The directory of a scan by mcm that has ended well."""
    make_scan(tmp_path)
    return tmp_path / "out"


def asked(root: Path, bank: str = BANK, **changes: Any) -> AskedFlags:
    """What is asked for by a scan to `tonight`, beside the one that lies in `out`."""
    config = configured(root).model_copy(update={"output": str(root / "tonight"), **changes})
    since = Directory(config.since) if config.since else None
    return AskedFlags.prepare(config, config.methods(), bank, {}, since=since)


def test_what_is_asked_for_is_settled_and_recorded(known: Path, tmp_path: Path) -> None:
    calibrating = json.loads((known / "scan.json").read_text())["fingerprint"]
    found = asked(tmp_path, calibrate=str(known), keep=0.9, method=("max-cos", "mcm"), threshold={"max-cos": 0.25})
    assert (found.deciding, found.group_by) == ("max-cos", "folder")
    expected = {"threshold": {"max-cos": 0.25}, "calibrate": calibrating, "keep": 0.9, "carried": {}}
    assert expected.items() <= found.identity().items()


def test_the_share_to_keep_counts_only_where_something_calibrates(known: Path, tmp_path: Path) -> None:
    assert asked(tmp_path, keep=0.9).identity() == asked(tmp_path, keep=0.5).identity()


def test_thresholds_are_carried_over_but_for_estimates_and_other_methods(known: Path, tmp_path: Path) -> None:
    before = {
        "mcm": MethodThreshold(0.5, "calibrated", 0.4, 0.6, "/scans/known", 0.95, 400),
        "max-cos": MethodThreshold(0.2, "estimated"),
        "neglabel": MethodThreshold(0.7, "given"),
    }
    Thresholds({}, "mcm", "folder", before).put(Directory(str(known)))
    found = asked(tmp_path, since=str(known), method=("mcm", "max-cos"))
    assert found.carried == {"mcm": MethodThreshold(0.5, "carried", 0.4, 0.6, "/scans/known", 0.95, 400)}
    assert found.identity()["carried"] == {"mcm": 0.5}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"threshold": {"neglabel": 0.5}}, "--threshold neglabel=0.5: no --method 'neglabel'; it is mcm"),
        ({"calibrate": "{root}/tonight"}, "--calibrate '{root}/tonight' is --output itself: a scan cannot say what"),
        ({"calibrate": "{root}/data"}, "--calibrate '{root}/data' is not a scan directory: it has no scan.json"),
        ({"calibrate": "{root}/gone"}, "--calibrate '{root}/gone' is not a scan directory: it has no scan.json"),
        ({"calibrate": "{root}/out", "bank": "x"}, "--calibrate '{root}/out' is a scan with another label bank than "),
        (
            {"calibrate": "{root}/out", "param": {"mcm.temperature": 0.5}},
            "--calibrate '{root}/out' was scored by mcm with other parameters: MCM(temperature=1.0)",
        ),
        (
            {"calibrate": "{root}/out", "method": ("max-cos", "neglabel")},
            "--calibrate '{root}/out' has scores by mcm, and by none of max-cos, neglabel",
        ),
        ({"decide_by": "neglabel"}, "--decide-by 'neglabel': no such --method; it is mcm"),
        (
            {"threshold": {"mcm": 0.5}, "method": ("mcm", "max-cos"), "calibrate": "{root}/out"},
            "--calibrate '{root}/out' has scores by mcm, and by none of max-cos",
        ),
    ],
)
def test_what_cannot_be_is_refused(known: Path, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    given = {name: value.format(root=tmp_path) if isinstance(value, str) else value for name, value in changes.items()}
    with pytest.raises(CallerError) as refused:
        asked(tmp_path, **given)
    assert str(refused.value).startswith(said.format(root=tmp_path))


def test_a_scan_that_has_not_ended_well_does_not_calibrate(known: Path, tmp_path: Path) -> None:
    (known / "_SUCCESS").unlink()
    with pytest.raises(CallerError, match=f"^--calibrate '{known}' is a scan that has not ended well: it has no _SUCC"):
        asked(tmp_path, calibrate=str(known))


def test_a_threshold_that_is_given_need_not_be_calibrated(known: Path, tmp_path: Path) -> None:
    found = asked(tmp_path, calibrate=str(known), method=("mcm", "max-cos"), threshold={"max-cos": 0.5})
    assert found.calibrating is not None


def test_a_scan_by_a_model_of_other_weights_does_not_calibrate(known: Path, tmp_path: Path) -> None:
    found = asked(tmp_path, calibrate=str(known))
    for same in ("weights", None):
        found.check_weights(same)
    with pytest.raises(
        CallerError,
        match=f"^--calibrate '{known}' is a scan by another model: its weights are weights…, those of this one 9f86",
    ):
        found.check_weights("9f86d081884c7d65")
    asked(tmp_path).check_weights("9f86d081884c7d65")


@pytest.mark.parametrize("column", ["folder", "shard", "url"])
def test_a_scan_groups_by_folder_shard_or_url(tmp_path: Path, column: str) -> None:
    config = Scan(input=("data",), labels="bank", output=str(tmp_path), method=("mcm",), group_by=column)
    AskedFlags("mcm", column, {}, None, 0.95, {}).check_group(config, [], {})


@pytest.mark.parametrize("column", ["camera", "id_label", "score_mcm", ""])
def test_a_scan_does_not_group_by_another_column(tmp_path: Path, column: str) -> None:
    config = Scan(input=("data",), labels="bank", output=str(tmp_path), method=("mcm",), group_by=column)
    with pytest.raises(
        CallerError,
        match=f"^--group-by '{column}' is no column that images can be grouped by; these are: folder, shard, url$",
    ):
        AskedFlags("mcm", column, {}, None, 0.95, {}).check_group(config, [], {})


def test_a_rescoring_groups_by_a_column_of_its_tables(tmp_path: Path) -> None:
    vectors = pa.array(np.eye(3, 4, dtype=np.float32).tolist(), pa.list_(pa.float32(), 4))
    table = pa.table(
        {"key": list("abc"), "embedding": vectors, "camera": [1, 2, 2], "tags": [["x"]] * 3, "status": list("xyz")}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    config = Rescore(embeddings=(str(tmp_path),), labels="bank", output=str(tmp_path / "out"), method=("mcm",))
    shards = plan_embeddings(config.embeddings, ReadEmbeddings(), 4, {}).shards
    for column in ("folder", "shard", "camera", "input_status"):
        AskedFlags("mcm", column, {}, None, 0.95, {}).check_group(config, shards, {})
    for column in ("embedding", "lens", "tags", "status"):
        with pytest.raises(
            CallerError, match=f"^--group-by '{column}' is no column .*: folder, shard, camera, input_status$"
        ):
            AskedFlags("mcm", column, {}, None, 0.95, {}).check_group(config, shards, {})


def test_a_scan_of_few_images_is_refused_before_any_is_scored(known: Path, tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=f"^--calibrate '{known}' has 3 scored images; at least 20 have to tell"):
        asked(tmp_path, calibrate=str(known)).check_enough()
