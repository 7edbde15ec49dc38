"""Names with braces, as shells and WebDataset have them: `train-{00000..00127}.tar`, `{train,val}/*.jpg`."""

import itertools
import re
from collections.abc import Iterator

PART = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")
MOST = 1_000_000


def has_braces(name: str) -> bool:
    """Whether the name stands for several."""
    return PART.search(name) is not None


def expanded(name: str) -> list[str]:
    """The names that it stands for, in order. Numbers are as wide as the first one if that begins with 0.

    Raises ValueError for more than `MOST` of them.
    """
    parts: list[list[str]] = []
    count, end = 1, 0
    for found in PART.finditer(name):
        chosen = list(itertools.islice(_choices(found), MOST + 1))
        parts += [[name[end : found.start()]], chosen]
        count, end = count * len(chosen), found.end()
        if count > MOST:
            raise ValueError(f"it stands for more than {MOST} names")
    return ["".join(chosen) for chosen in itertools.product(*parts, [name[end:]])]


def _choices(found: re.Match[str]) -> Iterator[str]:
    first, last, listed = found.groups()
    if listed is not None:
        yield from listed.split(",")
        return
    step = 1 if int(first) <= int(last) else -1
    width = len(first) if first.startswith("0") else 0
    for number in range(int(first), int(last) + step, step):
        yield f"{number:0{width}d}"
