"""Rescorings with a reference: equal to the plain functions however they are cut, resumed, checked, and refused."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from ood_core.methods import Consensus, MaxCos, NegLabel, Reference
from ood_core.scores import score_dataset
from pipelines.config.pools import ScorePool
from pipelines.config.rescore import ReadEmbeddings
from pipelines.errors import CallerError
from pipelines.reports.anchors.show import show
from pipelines.scans.rescore import rescore
from pipelines.storage import Directory
from pipelines.verify.verify import verify
from tests.pipelines.scans.in_kinds import DIM, ROWS, asked, bank, files_of, fill, good_images, good_rows, images, unit

METHODS = ("neglabel", "max-cos", "reference", "consensus")
PARAMETERS = {"neglabel.groups": 3, "reference.base": "max-cos", "consensus.rounds": 2, "consensus.crowding": 0.1}
OTHERS, SHARED = 80, 9
"""Images of the reference, and how many of them are the scan's own too."""


def reference() -> torch.Tensor:
    """Images like the first of the scan, some of them the same, and some of another kind."""
    random, (_, known) = np.random.default_rng(3), good_images()
    like = unit(known[: OTHERS - SHARED].numpy() + 0.15 * random.normal(size=(OTHERS - SHARED, DIM)))
    return torch.from_numpy(np.concatenate([known[:SHARED].numpy(), like]))


def write_reference(folder: Path, cuts: Sequence[int] = ()) -> None:
    folder.mkdir()
    for number, part in enumerate(np.split(reference().numpy(), cuts)):
        embeddings = pa.array(part.tolist(), pa.list_(pa.float32(), DIM))
        keys = [f"{number} {row}" for row in range(len(part))]
        pq.write_table(pa.table({"key": keys, "embedding": embeddings}), folder / f"{number}.parquet")


@pytest.fixture(scope="module")
def place(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank, embeddings, a reference, and a rescoring of them that nothing has disturbed."""
    place = tmp_path_factory.mktemp("reference")
    fill(place)
    write_reference(place / "known")
    run(place, "whole")
    return place


def run(place: Path, output: str, say: Any = None, **changes: Any) -> dict[str, Any]:
    settled = {"method": METHODS, "param": PARAMETERS, "reference": (str(place / "known"),), **changes}
    return rescore(asked(place, output, **settled), **({"say": say} if say else {}))


def test_a_rescoring_finds_what_the_plain_functions_find(place: Path) -> None:
    keys, embeddings = good_images()
    methods = {
        "neglabel": NegLabel(3),
        "max-cos": MaxCos(),
        "reference": Reference("max-cos"),
        "consensus": Consensus(rounds=2, crowding=0.1),
    }
    expected = score_dataset(bank(), methods, embeddings, keys, reference=reference()).scores
    found = good_rows(place / "whole")
    assert found["key"].to_pylist() == keys
    for name, scores in expected.items():
        np.testing.assert_array_equal(found[f"score_{name.replace('-', '_')}"].to_numpy(), scores)
    names = found.column_names
    beside = names[names.index("anchor") : names.index("anchor") + 5]
    assert beside == ["anchor", "consensus_weight", "consensus_shift", "evidence", "coverage"]
    cosines = found["score_max_cos"].to_numpy()
    evidence, coverage = (found[name].to_numpy() for name in ("evidence", "coverage"))
    term = coverage**2 * np.clip(evidence, -1, 0)
    np.testing.assert_allclose(expected["reference"], (cosines - cosines.mean()) / cosines.std() + term, atol=1e-12)
    assert term.min() < -0.1


def test_summary_and_terminal_say_what_the_reference_is_and_does_not_know(place: Path) -> None:
    said: list[str] = []
    run(place, "said", said.append)
    found = json.loads((place / "said/summary.json").read_text())["learned"]["reference"]
    rows = good_rows(place / "said")
    assert (found["images"], found["unusable"], found["in_scan_too"], found["base"]) == (OTHERS, 0, SHARED, "max-cos")
    assert found["not_covered"] == pytest.approx(np.mean(rows["coverage"].to_numpy() < 0.5))
    assert found["unlike"] == pytest.approx(np.mean(rows["evidence"].to_numpy() < -1))
    uncovered = rows.filter(pa.array(rows["coverage"].to_numpy() < 0.5))["id_label"].value_counts().to_pylist()
    expected = sorted((row["counts"] for row in uncovered), reverse=True)[:5]
    assert [row["not_covered"] for row in found["uncovered_labels"]] == expected
    of_reference = [line for line in said if line.startswith("reference: ")]
    assert of_reference[:3] == [
        f"reference: 80 images; {found['not_covered']:.1%} of the scan not covered (most of it near "
        f"{', '.join(row['label'] for row in found['uncovered_labels'])}), {found['unlike']:.1%} unlike it",
        "reference: 80 images are few; 300 and more say something",
        "reference: 9 images of the scan are in it too, which speaks for them",
    ]
    crowded = json.loads((place / "said/summary.json").read_text())["learned"]["consensus"]["crowded_labels"]
    counts = rows["id_label"].value_counts().to_pylist()
    assert [row["images"] for row in crowded] == sorted((row["counts"] for row in counts), reverse=True)[:5]


def test_the_report_on_anchors_tells_of_the_reference(place: Path) -> None:
    report = show(Directory(str(place / "whole")))
    said = json.loads((place / "whole/summary.json").read_text())["learned"]["reference"]
    assert report.to_json()["reference"] == said
    tables = {table.heading: table.rows for table in report.report().tables}
    about = {str(name): value for name, value in tables["the reference, images known to belong"]}
    assert about["images"] == "80"
    assert about["of the scan not covered (coverage below 1/2)"] == f"{said['not_covered']:.1%}"
    labels = [row["label"] for row in said["uncovered_labels"]]
    assert [row[0] for row in tables["labels that it covers least"]] == labels
    assert "reference: 80 images are few; 300 and more say something" in report.notes


@pytest.mark.parametrize("spoilt", [{"images": 3}, "text", {"images": "many", "unusable": 0}])
def test_a_summary_that_tells_nonsense_of_the_reference_is_named(place: Path, tmp_path: Path, spoilt: Any) -> None:
    output = Path(shutil.copytree(place / "whole", tmp_path / "whole"))
    summary = json.loads((output / "summary.json").read_text())
    summary["learned"]["reference"] = spoilt
    (output / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(CallerError, match=f"^SCAN '{output}' cannot be read: summary.json: "):
        show(Directory(str(output)))


def test_a_label_with_a_large_share_of_the_scan_and_little_of_the_reference_is_warned_of(place: Path) -> None:
    rows = good_rows(place / "whole").to_pylist()
    keys, known = good_images()
    label = max({row["id_label"] for row in rows}, key=[row["id_label"] for row in rows].count)
    kept = [row["key"] for row in rows if row["id_label"] != label]
    (place / "lacking").mkdir()
    without = known[torch.tensor([keys.index(key) for key in kept])].numpy().tolist()
    table = pa.table({"key": kept, "embedding": pa.array(without, pa.list_(pa.float32(), DIM))})
    pq.write_table(table, place / "lacking/known.parquet")
    said: list[str] = []
    run(
        place, "lacking it", said.append, reference=(str(place / "lacking"),), method=("max-cos", "reference"), param={}
    )
    share = sum(row["id_label"] == label for row in rows) / len(rows)
    expected = f"reference: {label!r} is nearest to {share:.0%} of the scan and 0% of the reference: if these images"
    assert [line for line in said if line.startswith(expected)]
    assert not [line for line in said if "are few" in line and len(kept) >= 300]


def test_order_files_shards_workers_and_the_split_of_the_reference_do_not_change_a_bit(place: Path) -> None:
    shuffled = images().take(np.random.default_rng(2).permutation(ROWS))
    (place / "shuffled").mkdir()
    for number, (start, end) in enumerate([(0, 1), (1, 120), (120, ROWS)]):
        pq.write_table(shuffled.slice(start, end - start), place / f"shuffled/{number}.parquet")
    write_reference(place / "cut", [1, 2, 40])
    changes = {"read": ReadEmbeddings(rows_per_shard=37), "score": ScorePool(workers=2, cpus=0.5)}
    run(place, "split", embeddings=(str(place / "shuffled"),), reference=(str(place / "cut"),), **changes)
    assert verify(str(place / "split"), {}, tables=True).problems == []
    found, expected = (pq.read_table(place / name / "scores").sort_by("key") for name in ("split", "whole"))
    for name in ("score_reference", "score_consensus", "evidence", "coverage", "consensus_weight"):
        assert found[name].equals(expected[name]), name
    sums = [(place / name / "consensus/reference.parquet") for name in ("split", "whole")]
    assert pq.read_table(sums[0]).equals(pq.read_table(sums[1]))


@pytest.mark.parametrize(
    "lost",
    [
        ("consensus/reference.parquet",),
        ("consensus/reference/*",),
        ("consensus/reference/*", "consensus/votes/part-*-00000120.*", "scores/part-*-00000060.*"),
        ("consensus/with-reference-1.parquet", "consensus/sums-2.parquet"),
        ("consensus/anchors.parquet",),
    ],
    ids=["its sums", "its votes", "votes and scores", "sums", "anchors"],
)
def test_what_is_lost_is_made_again_with_the_same_bytes(place: Path, tmp_path: Path, lost: Sequence[str]) -> None:
    output = Path(shutil.copytree(place / "whole", tmp_path / "whole"))
    for pattern in lost:
        gone = list(output.glob(pattern))
        assert gone
        for path in gone:
            path.unlink()
    run(place, str(output))
    assert files_of(output) == files_of(place / "whole")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _other_sums(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, "images", [[OTHERS + 1]]), path, write_page_checksum=True)


@pytest.mark.parametrize(
    ("name", "spoil", "said"),
    [
        ("consensus/reference.parquet", _cut, "consensus/reference.parquet cannot be read"),
        ("consensus/reference.parquet", Path.unlink, "consensus/reference.parquet is missing"),
        (
            "consensus/reference.parquet",
            _other_sums,
            "consensus/reference.parquet: it is not what consensus/reference/",
        ),
        ("consensus/reference/*", _cut, "cannot be read"),
        ("consensus/reference/*", Path.unlink, "consensus/reference.parquet: it is not what consensus/reference/"),
        ("consensus/with-reference-0.parquet", Path.unlink, "consensus/with-reference-0.parquet is missing"),
    ],
)
def test_damage_is_named(place: Path, tmp_path: Path, name: str, spoil: Any, said: str) -> None:
    output = Path(shutil.copytree(place / "whole", tmp_path / "whole"))
    assert verify(str(output), {}, tables=True).problems == []
    spoil(min(output.glob(name)))
    problems = verify(str(output), {}, tables=True).problems
    assert any(said in problem for problem in problems), problems


def test_a_scan_directory_of_ours_is_a_reference_by_its_embeddings(place: Path, tmp_path: Path) -> None:
    scan = tmp_path / "scan"
    (scan / "embeddings").mkdir(parents=True)
    (scan / "scan.json").write_text(json.dumps({"identity": {"weights": "w"}}))
    halves = reference().half().float()
    halves = torch.nn.functional.normalize(halves)
    table = pa.table(
        {
            "key": [str(row) for row in range(OTHERS)],
            "embedding": pa.array(halves.numpy().tolist(), pa.list_(pa.float32(), DIM)),
        }
    )
    pq.write_table(table, scan / "embeddings/part-0.parquet")
    summary = run(place, str(tmp_path / "out"), reference=(str(scan),))
    assert summary["learned"]["reference"]["images"] == OTHERS


def test_two_references_and_one_given_twice_are_one(place: Path, tmp_path: Path) -> None:
    write_reference(tmp_path / "halves", [40])
    parts = (str(tmp_path / "halves/0.parquet"), str(tmp_path / "halves/1.parquet"))
    run(place, str(tmp_path / "out"), reference=(*parts, parts[0]))
    for name in ("score_reference", "score_consensus"):
        found, expected = (pq.read_table(path / "scores")[name] for path in (tmp_path / "out", place / "whole"))
        assert found.equals(expected)


def refusal(place: Path, output: str, **changes: Any) -> str:
    with pytest.raises(CallerError) as raised:
        run(place, output, **changes)
    return str(raised.value)


def test_another_reference_is_refused_in_the_same_directory(place: Path, tmp_path: Path) -> None:
    write_reference(tmp_path / "other", [5])
    said = refusal(place, "whole", reference=(str(tmp_path / "other"),))
    assert said.startswith(f"--output '{place}/whole' holds another scan: reference was ")


def test_mistakes_are_one_line_that_names_the_option(place: Path, tmp_path: Path) -> None:
    def table(name: str, rows: np.ndarray) -> str:
        (tmp_path / name).mkdir()
        cells = pa.array(rows.tolist(), pa.list_(pa.float32(), rows.shape[1]))
        pq.write_table(
            pa.table({"key": [str(row) for row in range(len(rows))], "embedding": cells}), tmp_path / name / "a.parquet"
        )
        return str(tmp_path / name)

    known = reference().numpy()
    (tmp_path / "empty").mkdir()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.jpg").write_bytes(b"x")
    (tmp_path / "not kept").mkdir()
    (tmp_path / "not kept/scan.json").write_text('{"identity": {}}')
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/scan.json").write_text("{")
    (tmp_path / "noise.parquet").write_bytes(b"PAR1 noise PAR1")
    for given, said in {
        str(tmp_path / "nowhere"): "does not exist or holds no files",
        str(tmp_path / "empty"): "does not exist or holds no files",
        str(tmp_path / "pictures"): "holds no embeddings, and a rescoring encodes no images",
        str(tmp_path / "not kept"): "is a scan that holds no embeddings: make it with --embeddings",
        str(tmp_path / "broken"): "cannot be read: Expecting property name",
        str(tmp_path / "noise.parquet"): "holds no embeddings, and a rescoring",
        table("short", unit(known[:, :8])): "its embeddings have dimension 8, those of the label bank 16",
        table("long", 2 * known): "most embeddings are not of unit length",
    }.items():
        found = refusal(place, str(tmp_path / "out"), reference=(given,))
        assert found.startswith("--reference '"), found
        assert said in found, found
    itself = refusal(place, str(tmp_path / "out"), reference=(f"{tmp_path}/out/",))
    assert itself == f"--reference '{tmp_path}/out/' is --output itself: a scan cannot say what belongs in it"
    assert not (tmp_path / "out").exists()


def test_a_reference_of_nothing_that_can_be_used_is_refused(place: Path, tmp_path: Path) -> None:
    cells = pa.array([None] * 5, pa.list_(pa.float32(), DIM))
    pq.write_table(pa.table({"key": list("abcde"), "embedding": cells}), tmp_path / "a.parquet")
    said = refusal(place, str(tmp_path / "out"), reference=(str(tmp_path / "a.parquet"),))
    assert said == "--reference holds no image that can be used: 5 cannot be read or embedded"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reference": ()}, "--reference is missing: the method reference needs images that are known to belong"),
        ({"method": ("neglabel",), "param": {}}, "no method takes it; ask for --method reference, or consensus"),
        (
            {"method": ("neglabel", "consensus"), "param": {"consensus.reference": False}},
            "no method takes it; ask for --method reference, or consensus",
        ),
        (
            {"method": ("neglabel", "consensus"), "param": {"consensus.reference": True}, "reference": ()},
            "--reference is missing: consensus.reference=True needs images that are known to belong",
        ),
        ({"param": {"reference.base": "mcm"}}, "--param reference.base=mcm: no --method 'mcm' was asked for"),
        ({"param": {"reference.base": "consensus"}}, "base must be a method that scores images by themselves"),
        (
            {"method": ("adaneg", "reference"), "param": {}},
            "--method: the method reference needs the scores of another method that learns nothing from the images",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(place: Path, changes: dict[str, Any], said: str) -> None:
    assert said in refusal(place, "refused", **changes)
    assert not (place / "refused").exists()


def test_the_method_alone_and_consensus_alone_take_the_reference(place: Path) -> None:
    whole = pq.read_table(place / "whole/scores")
    alone = {"method": ("max-cos", "reference"), "param": {}}
    run(place, "alone", **alone)
    found = pq.read_table(place / "alone/scores")
    assert found["score_reference"].equals(whole["score_reference"])
    assert found["evidence"].equals(whole["evidence"])
    assert "anchor" not in found.column_names
    smoothed = {"neglabel.groups": 3, "consensus.rounds": 2, "consensus.crowding": 0.1}
    run(place, "smoothed", method=("neglabel", "consensus"), param=smoothed)
    assert pq.read_table(place / "smoothed/scores")["score_consensus"].equals(whole["score_consensus"])
    run(
        place,
        "both",
        method=("neglabel", "reference", "consensus"),
        param={"neglabel.groups": 3, "consensus.rounds": 2},
    )
    both = pq.read_table(place / "both/scores")
    keys, embeddings = good_images()
    methods = {"neglabel": NegLabel(3), "reference": Reference(), "consensus": Consensus(rounds=2)}
    expected = score_dataset(bank(), methods, embeddings, keys, reference=reference()).scores
    for name in ("reference", "consensus"):
        np.testing.assert_array_equal(both[f"score_{name}"].drop_null().to_numpy(), expected[name])
    assert not list((place / "both/consensus").glob("with-reference-*"))  # consensus has summed it up
    for output in ("alone", "smoothed", "both"):
        assert verify(str(place / output), {}, tables=True).problems == []
