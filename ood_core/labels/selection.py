"""Selects the candidates to keep, once a criterion has ranked them. Free of torch."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from ood_core.vocabulary import Part


def keep_lowest(scores: Float[np.ndarray, " candidates"], fraction: float) -> Int[np.ndarray, " kept"]:
    """Indices of the lowest `fraction` of the scores (rounded down), lowest first, ties in the candidates' order."""
    return np.argsort(scores, kind="stable")[: int(len(scores) * fraction)]


def shares(survivors: Mapping[Part, int], most: int) -> dict[Part, int]:
    """How many candidates of each part of speech are kept, `most` in all (METHODS.md §8).

    In proportion to the part's survivors, adjectives rounded down.
    """
    total = sum(survivors.values())
    kept = min(most, total)
    adjectives = kept * survivors.get("adjective", 0) // max(1, total)
    return {part: adjectives if part == "adjective" else kept - adjectives for part in survivors}


class Lowest:
    """The `most` rows of lowest `selection_score` among all that were added, ties by `index`; any order of adding.

    The same as sorting all rows by (`selection_score`, `index`) and taking the first: associative, commutative,
    and idempotent by nothing but the caller, who must not add a row twice. Holds at most 2·`most` rows and one table.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.bound = np.inf if most else -np.inf
        """No row with a higher score can be kept any more; one with this score can, if its index is low."""
        self._tables: list[pa.Table] = []
        self._rows = 0

    def add(self, rows: pa.Table) -> None:
        """`rows` has the columns `index` and `selection_score`, and any others."""
        self._tables.append(rows)
        self._rows += len(rows)
        if self._rows > 2 * self.most:
            self.rows()

    def rows(self) -> pa.Table | None:
        """The rows kept so far, lowest first; None if nothing was ever added."""
        if not self._tables:
            return None
        together = pa.concat_tables(self._tables)
        order = np.lexsort((together["index"].to_numpy(), together["selection_score"].to_numpy()))
        kept = together.take(pa.array(order[: self.most])).combine_chunks()
        self._tables, self._rows = [kept], len(kept)
        if self.most and len(kept) == self.most:
            self.bound = float(kept["selection_score"][-1].as_py())
        return kept
