"""Judges: who answers the questions of NegRefine's filter."""

from pipelines.judges.judge import Judge

__all__ = ["Judge"]
