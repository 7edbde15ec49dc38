"""What methods find out in rounds over all images, before any is scored: which labels they score by. Its files."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ood_core.methods import TANL, choosers_of
from pipelines.config.rescore import Rescore
from pipelines.config.scan import Scan
from pipelines.memory.orders import has_sequential
from pipelines.scan_directory.layout import FINGERPRINT_KEY, ROUNDS, read_table, table_bytes
from pipelines.storage import Directory

if TYPE_CHECKING:
    from ood_core.scores.tanl_rounds import Sums, TANLRounds

START = "start"
"""What stands in place of a step's number for what is known before the first."""


def round_sums_table(sums: "Sums") -> pa.Table:
    """The sums as a table: a row for each kind of images."""
    totals = pa.array(list(sums.totals), pa.list_(pa.int64()))
    return pa.table({"count": pa.array(sums.counts), "totals": totals})


def round_sums_of(table: pa.Table) -> "Sums":
    """The sums in a table of `round_sums_table`."""
    from ood_core.scores.tanl_rounds import Sums

    totals = table["totals"].combine_chunks()
    return Sums(table["count"].to_numpy(), totals.flatten().to_numpy().reshape(len(table), -1))


def rounds_file(step: int | str) -> str:
    """The path of a step's sums in the scan directory, or of `START`."""
    return f"{ROUNDS}{step}.parquet"


@dataclass(frozen=True)
class RoundsFiles:
    """The sums of every step of the rounds, in the folder `memory/` of a scan."""

    output: Directory
    fingerprint: str

    def put(self, step: int | str, sums: "Sums") -> None:
        """Writes the sums of a step."""
        self.output.put(rounds_file(step), table_bytes(round_sums_table(sums), {FINGERPRINT_KEY: self.fingerprint}))

    def known(self, parameters: TANL) -> "TANLRounds | None":
        """The state after as many steps as are there; None if not even the start is."""
        from ood_core.scores.tanl_rounds import TANLRounds

        try:
            found = TANLRounds(parameters, self._sums(START))
        except FileNotFoundError:
            return None
        for step in itertools.count():
            if found.finished:
                break
            try:
                found = found.after(self._sums(step))
            except FileNotFoundError:
                break
        return found

    def chosen(self, parameters: TANL) -> np.ndarray | None:
        """The rows of the chosen labels among the bank's corpus labels; None if the rounds are not finished."""
        found = self.known(parameters)
        return found.chosen if found and found.finished else None

    def _sums(self, step: int | str) -> "Sums":
        return round_sums_of(read_table(self.output, rounds_file(step)))


def choosers(config: Scan | Rescore) -> Mapping[str, TANL]:
    """The methods that look at all images in rounds, by steps of their own."""
    methods = config.methods()
    return {} if has_sequential(methods) else choosers_of(methods)


def steps_of(chosen: TANL) -> tuple[int | str, ...]:
    """The steps of a method's rounds, each of which leaves a file; the first is `START`."""
    return (START, *range(chosen.passes))


def rounds_files(config: Scan | Rescore) -> list[str]:
    """The files that the rounds of a finished scan have left; none if no method asks for them."""
    return [rounds_file(step) for chosen in choosers(config).values() for step in steps_of(chosen)]
