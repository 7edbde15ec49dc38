"""The page on which a person answers questions about images with the keyboard, and saves the answers as a CSV file."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.reports.html.blocks import check_image
from pipelines.reports.html.page import Page, Verdict
from pipelines.reports.html.render import document, render
from pipelines.reports.tables import visible

SAVED_AS = "verdicts.csv"
ANSWERS = {"yes": ("belongs", "good", "y"), "no": ("does not", "bad", "n"), "unsure": ("unsure", "warn", "u")}
"""By verdict: the words on its button, the tone whose mark it has, the key that gives it."""


@dataclass(frozen=True)
class Question:
    """Does this image belong?

    `number`: from 1, in order. `stands_for`: about how many images of the scan the answer speaks for. `belongs`: the
    probability that the scan guesses. `nearest_labels`: ID labels, nearest first. `image`: the bytes of a WebP file,
    None where there is no picture to show.
    """

    number: int
    shard: str
    index: int
    key: str
    stands_for: float
    belongs: float
    nearest_labels: Sequence[str]
    negative_label: str | None
    score: float
    image: bytes | None

    def __post_init__(self) -> None:
        check_image(self.image, self.key)

    @property
    def title(self) -> str:
        """What the image is called."""
        return self.key or f"record {self.index} of {self.shard}"

    @property
    def images(self) -> int:
        """How many images the answer speaks for: the image itself, at least."""
        return max(1, round(self.stands_for))


def questions_page(scan: str, fingerprint: str, questions: Sequence[Question]) -> str:
    """The HTML document. `scan`: as commands take it; `fingerprint`: by which the browser keeps the answers.

    It saves one row for each answer: `shard,index,key,verdict,by,at`. Raises ValueError for questions out of order.
    """
    numbers = [question.number for question in questions]
    if numbers != [*range(1, len(numbers) + 1)]:
        raise ValueError(f"questions are not numbered from 1 in order: {numbers}")
    kicker = f"oodscan questions on {scan}"
    if not questions:
        verdict = Verdict("neutral", "There are no questions.", "No image of the scan waits for an answer.")
        return render(Page("Does it belong?", kicker, verdict, [], []))
    known = {
        "name": f"oodscan verdicts {fingerprint}",
        "file": SAVED_AS,
        "asked": [[question.shard, int(question.index), question.key] for question in questions],
    }
    return document(
        "Does it belong?",
        "questions.html.j2",
        ("page.css", "questions.css"),
        ("theme.js", "questions.js"),
        kicker=kicker,
        questions=questions,
        answers=ANSWERS,
        known=known,
        command=_command(scan),
    )


def _command(scan: str) -> str:
    """What takes in the saved file, to be pasted into a shell; without the scan's name if a page would not show it."""
    shown = shlex.quote(scan)
    return f"oodscan verdicts {shown if visible(shown) == shown else 'SCAN'} --add {SAVED_AS}"
