"""A reference tells thresholds: each half of it is scored by the other, as images that are new to the scan."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ood_core.calibration import keeping
from ood_core.consensus.agreement import agreed
from ood_core.consensus.anchors import Sample, anchor_count
from ood_core.consensus.base import Base, Terms
from ood_core.consensus.log_odds import log_odds
from ood_core.consensus.reference import ReferenceSums
from ood_core.consensus.smoothing import Neighbours, anchor_sums
from ood_core.consensus.votes import Votes
from ood_core.consensus.voting import Voting
from ood_core.methods import Consensus, MaxCos, NegLabel
from ood_core.scores import score_embeddings
from pipelines.config.rescore import ReadEmbeddings
from pipelines.consensus.overlap import hashes_of
from pipelines.scans.rescore import rescore
from pipelines.scans.score_reference import ScoreReferenceStep
from tests.pipelines.scans.in_kinds import IDS, asked, bank, files_of, fill, good_images
from tests.pipelines.scans.test_rescore_reference import METHODS, PARAMETERS, reference, write_reference

SMOOTHING = Consensus(rounds=2, crowding=0.1, reference=True)


@pytest.fixture(scope="module")
def place(ray_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("reference")
    fill(place)
    write_reference(place / "known")
    write_reference(place / "cut", cuts=(11, 50))
    for name, known, rows in (("whole", "known", 100_000), ("parts", "cut", 70)):
        run(place, name, known, rows)
    return place


def run(place: Path, output: str, known: str = "known", rows_per_shard: int = 100_000) -> None:
    read = ReadEmbeddings(rows_per_shard=rows_per_shard)
    found = asked(place, output, method=METHODS, param=PARAMETERS, reference=(str(place / known),), read=read)
    rescore(found.model_copy(update={"threshold": {"max-cos": 0.25}, "keep": 0.9}))


def scores_of_reference(output: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(output / "consensus/reference-scores")
    return {name.removeprefix("score_"): table[name].to_numpy() for name in table.column_names if "score" in name}


def by_halves() -> dict[str, np.ndarray]:
    """The scores by neighbours, made by the plain functions in one process."""
    (keys, embeddings), known = good_images(), reference()
    sample = Sample.together([Sample.of(keys, embeddings.numpy(), len(keys))])
    anchors = sample.anchors(anchor_count(len(keys), SMOOTHING))
    voting = Voting(anchors, SMOOTHING, "cpu", bank().embeddings[:IDS])
    halves = hashes_of(known.numpy()) % 2
    votes = voting(known, np.zeros(len(known)))
    all_sums = ReferenceSums.of(votes, len(anchors), IDS)
    found = {name: np.empty(len(known)) for name in ("consensus", "reference")}

    def with_scores(images: torch.Tensor, voted: Votes, method: str) -> Votes:
        parameters = {"neglabel": NegLabel(3), "max-cos": MaxCos()}[method]
        scores = score_embeddings(bank(), images, methods={method: parameters})[method]
        return replace(voted, log_odds=log_odds(scores, parameters))

    in_scan = voting(embeddings, np.zeros(len(keys)))
    smoothing = agreed(
        SMOOTHING, len(anchors), [with_scores(embeddings, in_scan, "neglabel")], Terms(all_sums, 0.1, IDS)
    )
    referring, by_cosines = Base(len(anchors), Terms(all_sums, 0.0, IDS)), with_scores(embeddings, in_scan, "max-cos")
    while not referring.finished:
        referring = referring.after(referring.sums(by_cosines))
    for half in (0, 1):
        others = ReferenceSums.of(voting(known[halves != half], np.zeros((halves != half).sum())), len(anchors), IDS)
        chosen = halves == half
        outside = replace(with_scores(known, votes, "neglabel"), among=False)
        smoothed = replace(smoothing, terms=Terms(others, 0.1, IDS)).scores(outside).score
        found["consensus"][chosen] = smoothed[chosen]
        outside = replace(with_scores(known, votes, "max-cos"), among=False)
        lowered = replace(referring, terms=Terms(others, 0.0, IDS)).values(outside)
        found["reference"][chosen] = lowered[chosen]
    return found


def test_each_half_is_scored_by_the_other_as_the_plain_functions_do(place: Path) -> None:
    found, expected = scores_of_reference(place / "whole"), by_halves()
    for name, scores in expected.items():
        np.testing.assert_array_equal(found[name], scores)


def test_scores_that_need_no_neighbours_are_those_of_the_plain_functions(place: Path) -> None:
    found = scores_of_reference(place / "whole")
    expected = score_embeddings(bank(), reference(), methods={"neglabel": NegLabel(3), "max-cos": MaxCos()})
    np.testing.assert_array_equal(found["neglabel"], expected["neglabel"])
    np.testing.assert_array_equal(found["max_cos"], expected["max-cos"])


def test_however_reference_and_scan_are_cut_scores_and_thresholds_are_the_same(place: Path) -> None:
    whole, cut = scores_of_reference(place / "whole"), scores_of_reference(place / "parts")
    for name, scores in whole.items():
        np.testing.assert_array_equal(np.sort(scores), np.sort(cut[name]))
    first, second = (json.loads((place / name / "thresholds.json").read_text()) for name in ("whole", "parts"))
    assert first["methods"] == second["methods"]


def test_the_threshold_keeps_the_share_of_the_reference_and_a_given_one_goes_first(place: Path) -> None:
    found = json.loads((place / "whole/thresholds.json").read_text())["methods"]
    scores = scores_of_reference(place / "whole")
    assert (found["max-cos"]["source"], found["max-cos"]["value"]) == ("given", 0.25)
    for name in ("neglabel", "reference", "consensus"):
        expected = keeping(scores[name], 0.9)
        assert found[name]["source"] == "reference"
        assert [found[name][part] for part in ("value", "low", "high")] == [
            expected.value, expected.low, expected.high,
        ]  # fmt: skip
        assert (found[name]["keep"], found[name]["images"]) == (0.9, len(reference()))


def check_same(found: Path, expected: Path) -> None:
    assert files_of(found) == files_of(expected)
    assert (found / "thresholds.json").read_bytes() == (expected / "thresholds.json").read_bytes()


def test_a_run_that_was_cut_short_behind_the_last_score_scores_the_reference(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(*_: Any) -> None:
        raise KeyboardInterrupt

    output = tmp_path / "cut"
    monkeypatch.setattr(ScoreReferenceStep, "run", cut_short)
    with pytest.raises(KeyboardInterrupt):
        run(place, str(output))
    monkeypatch.undo()
    assert len(list((output / "scores").iterdir())) == 1
    assert not (output / "consensus/reference-scores").exists()
    run(place, str(output))
    check_same(output, place / "whole")


def test_scores_of_the_reference_that_are_lost_are_made_again(place: Path, tmp_path: Path) -> None:
    output = Path(shutil.copytree(place / "parts", tmp_path / "parts"))
    min((output / "consensus/reference-scores").iterdir()).unlink()
    run(place, str(output), "cut", 70)
    check_same(output, place / "parts")


def test_images_that_are_not_of_the_scan_leave_nothing_of_themselves_out() -> None:
    anchors = np.array([[0, 1], [1, 2]], np.int32)
    weights = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    votes = Votes(np.zeros(2), anchors, weights, np.ones(2, np.float32))
    values, bits = np.array([3.0, -1.0]), 30
    totals, sums = anchor_sums(votes, np.ones(2), bits, 3), anchor_sums(votes, values, bits, 3)
    found = Neighbours(replace(votes, among=False), totals, bits).mean(np.array([9.0, 9.0]), sums, bits)
    means = np.array([2.25 / 0.75, (0.75 - 0.5) / 0.75, -0.5 / 0.5])
    np.testing.assert_allclose(found, [0.75 * means[0] + 0.25 * means[1], 0.5 * means[1] + 0.5 * means[2]])
