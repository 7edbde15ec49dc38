"""The demo: a label bank, a scan and an evaluation of the bundled drawings with the bundled model."""

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from pipelines.config.labels import LabelsBuild
from pipelines.config.model import Model
from pipelines.config.pools import EncodePool
from pipelines.config.scan import Scan
from pipelines.evaluation.evaluate import Evaluation, evaluate
from pipelines.label_banks.build import build
from pipelines.label_banks.request import LabelBankRequest
from pipelines.reports.scan.write import write_report
from pipelines.runtime.cluster import cluster
from pipelines.runtime.model import BUNDLED
from pipelines.scan_directory.layout import REPORT_FILE
from pipelines.scans.scan import scan
from pipelines.storage import Directory

HERE = Path(__file__).parent
SHARDS = HERE / "shards"
ID_SUBJECT = "animals"
MODEL = Model(name=BUNDLED, dtype="float32")
"""In the same dtype on every processor, so that the demo prints what README shows."""

ENCODE = EncodePool(workers=1, threads=2)
"""One worker: so few pictures are scored before a second one has started."""


def demo(output: str, say: Callable[[str], None]) -> str:
    """Runs the demo in the output folder, or what of it is not done yet, and returns the text to print."""
    bank, scanned = f"{output}/labels", f"{output}/scan"
    asked = LabelBankRequest.prepare(
        LabelsBuild(id_labels=str(HERE / "id_labels.txt"), output=bank, model=Model(name=BUNDLED)), {}
    )
    asked_scan = Scan(
        input=(str(SHARDS),), labels=bank, output=scanned, method=("neglabel", "max-cos"), model=MODEL, encode=ENCODE
    )
    with cluster():
        build(asked, say=say)
        summary = scan(asked_scan, say=say)
    write_report(Directory(scanned))
    return "\n".join(
        [
            f"{summary['records']} drawings scored; those that belong least:",
            *_lowest(scanned, 5),
            "",
            f"AUROC / FPR95 (%) of {ID_SUBJECT} against each other subject:",
            evaluated(scanned).to_markdown(),
            f"score table: {scanned}/scores/",
            f"report: {scanned}/{REPORT_FILE}",
        ]
    )


def evaluated(scanned: str) -> Evaluation:
    """The metrics of animals against each other subject, after which the shards are named."""
    subjects = sorted({path.name.rsplit("-", 1)[0] for path in SHARDS.iterdir()} - {ID_SUBJECT})
    tables = {subject: [f"{scanned}/scores/part-{subject}-*.parquet"] for subject in [ID_SUBJECT, *subjects]}
    return evaluate(tables.pop(ID_SUBJECT), tables, {})


def _lowest(scanned: str, count: int) -> list[str]:
    columns = ["shard", "key", "score_neglabel", "id_label", "negative_label"]
    rows = pq.read_table(f"{scanned}/scores", columns=columns).sort_by("score_neglabel").slice(0, count).to_pylist()
    return [
        f"  {row['score_neglabel']:.6f}  {row['shard'].rpartition('-')[0]}/{row['key']}: "
        f"{row['negative_label']}, rather than {row['id_label']}"
        for row in rows
    ]
