"""Questions of which tests know every word."""

from dataclasses import replace

from pipelines.reports.questions.page import Question
from tests.pipelines.reports.html.made_page import HOSTILE, webp

CELLS = (
    '=HYPERLINK("http://example.invalid","x")', "+1", "-1", "@x", "a,b", 'a"b', '"', "a\nb", "a\r\nb", "a\rb", " a",
    "", "a ", "\u2028\u2029", "</script>", "<!--<script>", "é\u0301🖼", "__proto__", "\ufeffx", "a\tb",
    "&quot;", "\\u0041",
)  # fmt: skip
"""Keys that are hard to bring through HTML, JSON and CSV as they are."""


def question(number: int) -> Question:
    """One of each: with a picture or without, with labels or without, for one image or for many."""
    labels = [f"label {place}" for place in range(number % 11)]
    negative = None if number % 3 else "a negative"
    image = webp(number) if number % 5 else None
    key = f"folder/{number:03d}.jpg"
    return Question(
        number, f"shard-{number % 2}.tar", number * 7, key, 3000 / number**3, 0.25, labels, negative, 0.5, image
    )


def questions(count: int) -> list[Question]:
    return [question(number) for number in range(1, count + 1)]


def hostile_questions() -> list[Question]:
    """Questions with all of `HOSTILE` and `CELLS` as texts, but for what no table can hold."""
    texts = [text for text in (*HOSTILE, *CELLS) if "\ud800" not in text] + ["a\x00b\x1b"]
    return [
        replace(question(number), shard=text, key=text, nearest_labels=[text, text], negative_label=text)
        for number, text in enumerate(texts, 1)
    ]
