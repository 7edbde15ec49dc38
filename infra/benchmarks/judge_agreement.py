"""How far the WordNet judge agrees with the verdicts that NegRefine's authors recorded, as a Markdown table.

python -m infra.benchmarks.judge_agreement VERDICTS_FOLDER

The folder holds the authors' logs, `llm_process_noun.txt.gz` and `llm_process_adj.txt.gz`. Rates are of yes: proper
noun, subcategory, removed. The log of a label's subcategories ends with its first yes, so those questions are the ones
that the language model was asked; a label is removed here if WordNet says yes to any of its logged questions.
"""

import argparse
import gzip
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from infra.benchmarks.workloads import say
from ood_core.negfilter.negrefine_log import Question, read_log
from ood_core.negfilter.questions import questions
from pipelines.judges.wordnet import WordNetJudge

LISTS = {"noun": "nouns", "adj": "adjective phrases"}
COLUMNS = ("labels: question", "asked", "LLM's yes", "WordNet's yes", "agreement", "precision", "recall")


class Agreement(NamedTuple):
    """Counts of questions: all, yes by each, and yes by both."""

    asked: int
    recorded: int
    found: int
    both: int

    @classmethod
    def of(cls, recorded: Iterable[bool], found: Iterable[bool]) -> "Agreement":
        theirs, ours = np.array(list(recorded), bool), np.array(list(found), bool)
        return cls(len(theirs), int(theirs.sum()), int(ours.sum()), int((theirs & ours).sum()))

    def row(self, name: str) -> str:
        differ = self.recorded + self.found - 2 * self.both
        rates = [
            _percent(self.asked - differ, self.asked),
            *(_percent(self.both, n) for n in (self.found, self.recorded)),
        ]
        return f"| {' | '.join([name, *(f'{count:_}'.replace('_', ' ') for count in self[:3]), *rates])} |"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"


def wordnet_answers(judge: WordNetJudge, asked: Iterable[Question]) -> list[bool]:
    """Whether each answer is yes."""
    table = questions([(negative, label, None) for negative, label in asked])
    begun = time.perf_counter()
    found = [answer == "yes" for answers in judge.answers([table]) for answer in answers["answer"].to_pylist()]
    say(f"{len(found)} questions in {time.perf_counter() - begun:.2f} s")
    return found


def removed(answers: Mapping[Question, bool]) -> list[bool]:
    """Of each negative, in the log's order, whether one of its answers is yes."""
    found: dict[str, bool] = {}
    for (negative, _), yes in answers.items():
        found[negative] = found.get(negative, False) or yes
    return list(found.values())


def rows(name: str, recorded: Mapping[Question, bool], found: Mapping[Question, bool]) -> list[str]:
    """The table's rows for one of the authors' lists."""
    proper, subcategory = ([asked for asked in recorded if (asked[1] is None) is kind] for kind in (True, False))
    return [
        *(
            Agreement.of(map(recorded.__getitem__, asked), map(found.__getitem__, asked)).row(f"{name}: {kind}")
            for kind, asked in (("proper noun", proper), ("subcategory", subcategory))
        ),
        Agreement.of(removed(recorded), removed(found)).row(f"{name}: removed"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verdicts", type=Path, help="folder of the authors' logs")
    folder = parser.parse_args().verdicts
    judge = WordNetJudge.load()
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for kind, name in LISTS.items():
        log = gzip.decompress((folder / f"llm_process_{kind}.txt.gz").read_bytes()).decode("utf-8")
        recorded = read_log(log.splitlines())
        found = dict(zip(recorded, wordnet_answers(judge, recorded), strict=True))
        print("\n".join(rows(name, recorded, found)))


if __name__ == "__main__":
    main()
