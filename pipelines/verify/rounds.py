"""Checks the sums of a scan's rounds over all images: that they are whole, and of the method that was asked for."""

import pyarrow as pa

from ood_core.methods import TANL
from pipelines.memory.rounds import START, choosers, round_sums_of, rounds_file, steps_of
from pipelines.verify.recorded import Recorded
from pipelines.verify.tables import Inspection, UnfitError, required

COLUMNS = pa.schema(required(count=pa.int64(), totals=pa.list_(pa.int64())))


def check_rounds(found: Inspection, scan: Recorded) -> None:
    """Adds a problem for each file of sums that is damaged, or cannot be what it should be."""
    for chosen in choosers(scan.config).values():
        _check(found, chosen)


def _check(found: Inspection, chosen: TANL) -> None:
    from ood_core.scores.tanl_rounds import TANLRounds

    known, images = None, None
    for step in steps_of(chosen):
        name = rounds_file(step)
        table = found.table(name, COLUMNS)
        if table is None:
            known = None
            continue
        with found.checking(name):
            sums = round_sums_of(table)
            if (sums.counts < 0).any():
                raise UnfitError("there are fewer images than none")
            if step == START:
                known = TANLRounds(chosen, sums)
            elif known is not None:
                if not known.fits(sums):
                    raise UnfitError("it is not of the rounds that were asked for")
                if known.next_is_histogram:
                    images = int(sums.counts.sum()) if images is None else images
                    if int(sums.counts.sum()) != images:
                        raise UnfitError("it is of another number of images than the rounds before")
                known = known.after(sums)
                _ = known.chosen
