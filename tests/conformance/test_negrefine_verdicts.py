"""The verdicts that NegRefine's authors recorded drive our decisions to exactly the labels that they kept.

A sample of them is in this repository. All are not: OODSCAN_NEGREFINE_VERDICTS names their folder, by default
`../shared/data/negrefine_verdicts`.
"""

import gzip
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from ood_core.negfilter.decisions import KEPT, NO, NO_ANSWER, UNJUDGED, YES, Decided, decide
from ood_core.negfilter.questions import SHORTEST, clean, questions
from pipelines.judges.replay import ReplayJudge
from tests.conformance.given import REPOSITORY

SAMPLE = REPOSITORY / "tests" / "ood_core" / "negfilter" / "negrefine_verdicts"
SHARED = REPOSITORY.parent / "shared" / "data" / "negrefine_verdicts"
FOLDER = Path(os.environ.get("OODSCAN_NEGREFINE_VERDICTS") or SHARED)
NEAREST = 10


class Run(NamedTuple):
    """One of the authors' runs. `codes`: answers, that of the proper noun first, then ID labels from the nearest on."""

    negatives: list[str]
    codes: np.ndarray
    same: np.ndarray
    kept: list[str]


def cleaned(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(text for text in map(clean, texts) if len(text) >= SHORTEST))


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def nearest(lines: list[str]) -> dict[str, list[str]]:
    """The ID labels logged for each negative. Those that the log does not reach have names of ours."""
    found: dict[str, list[str]] = {}
    for negative, *rest in (line.split(" | ") for line in lines if " | " in line):
        found.setdefault(negative.strip(), []).extend(rest[:1] if len(rest) == 2 else [])
    return {
        word: [*labels, *(f"not logged {rank}" for rank in range(len(labels), 10))] for word, labels in found.items()
    }


def replayed(folder: Path, kind: str, ending: str) -> Run:
    log = folder / f"llm_process_{kind}.txt{ending}"
    if not log.exists():
        pytest.skip(f"the authors' verdicts are not here: {log} (set OODSCAN_NEGREFINE_VERDICTS to their folder)")
    text = gzip.decompress(log.read_bytes()).decode() if ending else log.read_text(encoding="utf-8")
    labels = nearest(text.splitlines())
    initial, kept = (_lines(folder / f"{name}_{kind}.txt") for name in ("initial_neg_labels", "neg_labels"))
    negatives = cleaned(initial)
    asked = [(word, label, rank or None) for word in negatives for rank, label in enumerate([None, *labels[word]])]
    answers = pa.concat_tables(ReplayJudge.load(str(log), {}).answers([questions(asked)]))["answer"].to_numpy()
    codes = np.select([answers == "yes", answers == "no"], [YES, NO], NO_ANSWER).astype(np.int8)
    same = np.array([[word == label for label in labels[word]] for word in negatives])
    kept = [word.strip() for word in kept]  # "biosafety level 2" leaves a space behind, which `clean` takes away
    return Run(negatives, codes.reshape(len(negatives), 1 + NEAREST), same, kept)


@pytest.fixture(scope="module", params=["sample-noun", "sample-adj", "all-noun", "all-adj"])
def run(request: pytest.FixtureRequest) -> Run:
    which, kind = request.param.split("-")
    return replayed(SAMPLE, kind, "") if which == "sample" else replayed(FOLDER, kind, ".gz")


def decisions(codes: np.ndarray, same: np.ndarray) -> Decided:
    return decide(codes[:, 0], same, codes[:, 1:])


def test_the_recorded_verdicts_keep_exactly_the_labels_that_the_authors_kept(run: Run) -> None:
    found = decisions(run.codes, run.same).decision
    kept = [word for word, decision in zip(run.negatives, found, strict=True) if decision == KEPT]
    assert sorted(kept) == sorted(run.kept)
    assert not (found == UNJUDGED).any()


@pytest.mark.parametrize(
    ("kind", "initial", "kept", "by_kind"), [("noun", 7021, 4998, [1748, 0, 275]), ("adj", 1404, 1372, [0, 0, 32])]
)
def test_the_counts_are_those_of_the_authors_log(kind: str, initial: int, kept: int, by_kind: list[int]) -> None:
    run = replayed(FOLDER, kind, ".gz")
    found = decisions(run.codes, run.same).decision
    assert np.bincount(found, minlength=5).tolist() == [kept, 0, *by_kind]
    assert (len(run.negatives), len(run.kept)) == (initial, kept)


def test_what_the_authors_never_asked_cannot_matter(run: Run) -> None:
    # Two waves also ask behind a negative's first yes. Every answer there is tried, in all combinations, once for each
    # way in which a negative was answered: yes, no, none, and an ID label that is the same word.
    assert not run.same.any()
    for answered in np.unique(run.codes, axis=0):
        expected = decisions(answered[None], np.zeros((1, NEAREST), bool))
        free = np.flatnonzero(answered == NO_ANSWER)
        tried = np.indices((4,) * len(free), np.int8).reshape(len(free), 4 ** len(free)).T
        codes, same = np.tile(answered, (len(tried), 1)), np.zeros((len(tried), NEAREST), bool)
        codes[:, free] = np.where(tried == 3, NO_ANSWER, tried - 1)
        same[:, free - 1] = tried == 3
        found = decisions(codes, same)
        assert (found.decision == expected.decision).all()
        assert (found.rank == expected.rank).all()
