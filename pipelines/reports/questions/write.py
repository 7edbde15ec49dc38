"""Writes the questions on a scan: as a table, and as the page on which they are answered."""

import pyarrow as pa

from pipelines.reports.questions.page import Question, questions_page
from pipelines.scan_directory.layout import QUESTIONS_FILE, QUESTIONS_PAGE, table_bytes
from pipelines.scan_directory.record import ScanRecord
from pipelines.storage import Directory


def write_questions(record: ScanRecord, scan: str, questions: pa.Table, output: Directory) -> str:
    """Writes `questions.parquet` and `questions.html`, whose URL is returned. `scan`: as the caller has named it."""
    output.put(QUESTIONS_FILE, table_bytes(questions, {}))
    asked = [
        Question(
            row["number"], row["shard"], row["index"], row["key"], row["stands_for"], row["belongs"],
            row["nearest_labels"], row["negative_label"], row["score"], row["picture"],
        )
        for row in questions.to_pylist()
    ]  # fmt: skip
    output.put(QUESTIONS_PAGE, questions_page(scan, record.fingerprint, asked).encode())
    return f"{output.url.rstrip('/')}/{QUESTIONS_PAGE}"
