"""A judge of images: what a scan asks it, and the answers, of which none is asked for twice."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ood_core.image_questions import IMAGE_ANSWERS, IMAGE_QUESTIONS, described, image_question_id, prompt
from pipelines.config.image_judges import (
    OPTION,
    ImageHttp,
    ImageJudgeConfig,
    ImageReplay,
    ImageVllm,
    NoImageJudge,
    StoredImageJudge,
    image_option_of,
)
from pipelines.judges.answers import AnswerStore, answer_store
from pipelines.judges.judge import Judge
from pipelines.runtime.progress import Say, counting, quiet
from pipelines.storage import Directory

QUESTIONS_AT_ONCE = 64
CHAT_TOKENS = 96
"""The most tokens of a chat beside the question and the picture: the chat template's, and the answer's."""


@dataclass(frozen=True)
class ImageJudge:
    """Who answers; `describe`: whether each picture is described, too; `say` takes what there is to tell meanwhile."""

    judge: Judge
    describe: bool = False
    say: Say = quiet


def open_image_judge(config: ImageJudgeConfig, options: Mapping[str, Any], say: Say = quiet) -> ImageJudge | None:
    """The configured judge of images; None for `none`. `options`: of remote file systems.

    Raises CallerError if what the judge needs is not there: a package, a model that takes pictures, a recording.
    """
    if isinstance(config, NoImageJudge):
        return None
    return ImageJudge(_judge(config, options), config.describe, say)


def image_answer_store(config: ImageJudgeConfig, default: Directory) -> AnswerStore | None:
    """Where the judge's answers are kept: the configured folder, or else `default`; None if answers cost nothing.

    Raises CallerError if the configured folder cannot be written to.
    """
    if not isinstance(config, StoredImageJudge):
        return None
    return answer_store(config.answers, default, image_option_of("answers"))


def judged(judge: ImageJudge, store: AnswerStore | None, questions: Iterable[pa.Table]) -> pa.Table:
    """A table of `IMAGE_ANSWERS` with a row for each row of tables of `IMAGE_QUESTIONS`, in order.

    Asked is what the store does not know; new answers are stored as they come. A question that could not be answered
    has an error, a description that could not be had is null. The cost is told before anything is asked. A judge of
    engines needs a running Ray cluster. Raises CallerError for what concerns every question, such as a refused key,
    and RuntimeError if a judge leaves questions out.
    """
    asked = pa.concat_tables([IMAGE_QUESTIONS.empty_table(), *questions]).combine_chunks()
    wanted = _once_each(pa.concat_tables([asked, _describing(asked)]) if judge.describe else asked)
    known = {} if store is None else _by_question(store.tables(judge.judge, in_words=True))
    new = wanted.filter(pa.array([question not in known for question in wanted["question"].to_pylist()], pa.bool_()))
    judge.say(_cost(judge, new, len(wanted)))
    if len(new):
        found = judge.judge.answers(new.slice(at, QUESTIONS_AT_ONCE) for at in range(0, len(new), QUESTIONS_AT_ONCE))
        known |= _by_question(_counted(judge, len(new), store.kept(judge.judge, found) if store else found))
    if missing := set(new["question"].to_pylist()) - set(known):
        raise RuntimeError(f"{judge.judge.model} left {len(missing)} of {len(new)} questions without an answer")
    describing = _describing(asked)["question"].to_pylist() if judge.describe else [None] * len(asked)
    rows = [_row(*ids, known) for ids in zip(asked["question"].to_pylist(), describing, strict=True)]
    return pa.Table.from_pylist(rows, schema=IMAGE_ANSWERS)


def _judge(config: ImageReplay | ImageVllm | ImageHttp, options: Mapping[str, Any]) -> Judge:
    from pipelines.judges.forms import IMAGES

    match config:
        case ImageReplay():
            from pipelines.judges.replay import ReplayJudge

            return ReplayJudge.load(config.recorded, options, OPTION, in_words=True)
        case ImageVllm():
            from pipelines.judges.vllm import VllmJudge

            return VllmJudge(config, IMAGES)
        case ImageHttp():
            from pipelines.judges.http import HttpJudge

            return HttpJudge(config, IMAGES)


def _describing(asked: pa.Table) -> pa.Table:
    """For each question the one that asks what the same picture shows."""
    ids = pa.array([image_question_id(image.as_py(), None) for image in asked["image"]], pa.int64())
    labels = pa.nulls(len(asked), IMAGE_QUESTIONS.field("labels").type)
    return pa.table([ids, asked["image"], labels], schema=IMAGE_QUESTIONS)


def _once_each(questions: pa.Table) -> pa.Table:
    """The table without the repetitions of a question."""
    _, first = np.unique(questions["question"].to_numpy(), return_index=True)
    return questions.take(np.sort(first))


def _by_question(tables: Iterable[pa.Table]) -> dict[int, dict[str, Any]]:
    """The first answer to each question."""
    found: dict[int, dict[str, Any]] = {}
    for table in tables:
        for row in table.to_pylist():
            found.setdefault(row["question"], row)
    return found


def _counted(judge: ImageJudge, total: int, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    progress = counting(judge.say, total, "answers")
    for table in tables:
        progress(len(table))
        yield table


def _cost(judge: ImageJudge, new: pa.Table, count: int) -> str:
    """What asking will cost at most; a token has at least a byte, and what a picture costs depends on the model."""
    tokens = sum(len(prompt(labels).encode()) + CHAT_TOKENS for labels in new["labels"].to_pylist())
    asked = f"{count} questions, {count - len(new)} answered already, {len(new)} to {judge.judge.model}"
    return f"{asked}: at most {tokens:,} tokens beside those of {len(new)} pictures" if len(new) else asked


def _row(question: int, describing: int | None, known: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """A row of `IMAGE_ANSWERS` by the ids of the question and of that for a description, if that was asked.

    What was stored or recorded may be anybody's.
    """
    found = known[question]
    answer, probability, error = found["answer"], found["probability_yes"], found["error"]
    if answer not in ("yes", "no", None):
        answer, probability, error = None, None, f"neither yes nor no, but {described(answer)!r}"
    if probability is not None and not 0 <= probability <= 1:
        probability = None
    description = known[describing]["answer"] if describing is not None else None
    return {
        "question": question,
        "answer": answer,
        "probability_yes": probability,
        "description": described(description) or None if description else None,
        "error": error,
    }
