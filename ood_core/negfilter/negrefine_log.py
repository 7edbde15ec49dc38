"""Reads the log that NegRefine's own code writes of a run (arXiv 2507.09795), as answers to questions."""

from collections.abc import Iterable

Question = tuple[str, str | None]
"""A negative label and an ID label, which is None where the question is whether the negative is a proper noun."""

PUBLISHED_PROMPTS = "negrefine-0"
"""Version of the authors' own prompts, with their "subcatgeory"."""

_YES_NO = {"subcategory": True, "": False}


def read_log(lines: Iterable[str]) -> dict[Question, bool]:
    """The questions of a log in the order they were asked, each with whether the answer was yes.

    A line is `negative | proper noun` (yes), `negative | ID label | subcategory` (yes), the same with nothing at the
    end (no), or with `the same`, where nothing had to be asked; a line of dashes ends the log. The authors go on to ID
    labels only after a no to the proper noun, which they do not log. Where two ID labels are spelled alike, a question
    is asked again: the later answer stands, since a yes ends a negative's questions.

    Raises ValueError naming the first line that is none of these.
    """
    answers: dict[Question, bool] = {}
    for number, line in enumerate(lines, start=1):
        if line.startswith("---"):
            break
        match [part.strip() for part in line.split("|")]:
            case [negative, "proper noun"] if negative:
                answers[negative, None] = True
            case [negative, _, "the same"] if negative:
                answers[negative, None] = False
            case [negative, id_label, ("subcategory" | "") as answer] if negative and id_label:
                answers.setdefault((negative, None), False)
                answers[negative, id_label] = _YES_NO[answer]
            case _:
                raise ValueError(f"line {number} is not of NegRefine's log: {line.strip()[:80]!r}")
    return answers
