import numpy as np
import pyarrow as pa
import pytest

from ood_core.methods import METHODS
from pipelines.errors import CallerError
from pipelines.exports.choice import Choice, chosen, with_threshold
from pipelines.inputs.readers.record import STATUSES
from pipelines.scan_directory.layout import THRESHOLDS_KEY

ROWS = pa.table(
    {
        "status": ["ok", "ok", "ok", "empty-file", "damaged-archive", "too-large"],
        "score_mcm": pa.array([0.1, 0.5, 0.9, None, None, None], pa.float64()),
        "is_ood_mcm": pa.array([True, True, False, None, None, None], pa.bool_()),
    }
)
ERRORS = ["empty-file", "damaged-archive", "too-large"]
METHODS_ASKED = {name: METHODS[name]() for name in ("max-cos", "mcm")}


def test_what_is_flagged_or_in_error_is_dropped() -> None:
    assert Choice("mcm").reasons(ROWS).to_pylist() == ["flagged", "flagged", None, *ERRORS]


def test_a_score_goes_before_the_flags_and_what_is_at_it_is_kept() -> None:
    assert Choice("mcm", below=0.5).reasons(ROWS).to_pylist() == ["flagged", None, None, *ERRORS]
    assert Choice("mcm", below=-np.inf).reasons(ROWS).to_pylist() == [None, None, None, *ERRORS]


def test_errors_can_be_kept_but_for_what_nobody_can_copy() -> None:
    found = Choice("mcm", keep_errors=True).reasons(ROWS).to_pylist()
    assert found == ["flagged", "flagged", None, None, "damaged-archive", "too-large"]


def test_no_rows_have_no_reasons() -> None:
    assert Choice("mcm").reasons(ROWS.slice(0, 0)).equals(pa.array([], pa.string()))


def test_every_status_is_a_reason() -> None:
    rows = pa.table({"status": list(STATUSES), "score_mcm": pa.nulls(len(STATUSES), pa.float64())})
    assert Choice("mcm", below=0.5).reasons(rows).to_pylist() == [None, *list(STATUSES)[1:]]


def test_the_deciding_method_is_taken_unless_another_is_named() -> None:
    assert chosen(METHODS_ASKED, None, None, False) == Choice("max-cos")
    assert chosen(METHODS_ASKED, "mcm", 0.5, True) == Choice("mcm", 0.5, True)
    assert chosen({**METHODS_ASKED, "consensus": METHODS["consensus"]()}, None, None, False) == Choice("consensus")


def test_a_method_without_scores_and_a_score_that_is_none_are_mistakes() -> None:
    with pytest.raises(CallerError, match="--by 'neglabel': the scan has scores by max-cos, mcm"):
        chosen(METHODS_ASKED, "neglabel", None, False)
    with pytest.raises(CallerError, match="--below nan"):
        chosen(METHODS_ASKED, None, float("nan"), False)


def test_flags_that_are_not_there_are_a_mistake_that_names_both_options() -> None:
    schema = pa.schema({"score_max_cos": pa.float64(), "is_ood_mcm": pa.bool_()})
    with pytest.raises(CallerError, match="--by max-cos: the scan has no flags by it; with --below SCORE"):
        with_threshold(Choice("max-cos"), schema)
    assert with_threshold(Choice("max-cos", below=0.0), schema) == Choice("max-cos", below=0.0)
    assert with_threshold(Choice("mcm"), schema) == Choice("mcm")


def test_the_threshold_of_the_flags_is_recorded() -> None:
    schema = pa.schema({"is_ood_mcm": pa.bool_()}, {THRESHOLDS_KEY: b'{"max-cos": 0.5, "mcm": 0.25}'})
    found = with_threshold(Choice("mcm"), schema)
    assert found.described() == {"by": "mcm", "threshold": 0.25, "keep_errors": False}
    assert Choice("mcm", 0.5).described() == {"by": "mcm", "below": 0.5, "keep_errors": False}
