"""What the page on a scan and the page on two scans cost: seconds, bytes, and how long Chromium takes to show them.

The scans are made by hand with the real committer, flags, receipts and manifest, of random scores, labels and negative
labels; every thumbnail is another, of 128 pixels. Reports read no score table, so what they cost depends on shards,
labels and methods. Seconds are the least of `--repeats`, reading included; `loaded_s`: from the address to the load
event, of the slower of the two pages, in the Chromium that is installed (OODSCAN_CHROMIUM).

python -m infra.benchmarks.report_cost [--rows 100000] [--repeats 3] [--only NAME]
"""

import io
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from infra.benchmarks.workloads import SEED, machine, parser, say
from ood_core.labels import BankInfo, LabelBank
from ood_core.methods import score_column
from pipelines.config.model import Model
from pipelines.config.scan import Scan
from pipelines.flags.summary import flags_summary
from pipelines.flags.thresholds import MethodThreshold, Thresholds
from pipelines.flags.workers import FlagShards, FlagSpec
from pipelines.inputs.plan import Plan, Shard, shard_id
from pipelines.reports.comparison.compare import compare
from pipelines.reports.comparison.page import comparison_page
from pipelines.reports.ended import EndedScan
from pipelines.reports.html.render import render
from pipelines.reports.scan.write import report_of
from pipelines.scan_directory.commit import Committer
from pipelines.scan_directory.finish import finish
from pipelines.scan_directory.identity import Fingerprints, asked_for, begin
from pipelines.scan_directory.kinds import gallery_choices
from pipelines.scan_directory.layout import FINGERPRINT_KEY, GALLERY_FILE, SCORES, read_table, shard_file, table_bytes
from pipelines.scan_directory.manifest import Manifest
from pipelines.scan_directory.receipts import receipts_table
from pipelines.scan_directory.summary import Tally
from pipelines.storage import Directory

METHODS = ("neglabel", "max-cos", "mcm", "negrefine", "debiased", "adaneg", "interneg", "tanl")
CUT, BAD, SIDE = 0.1, 0.002, 128


@dataclass(frozen=True)
class Setting:
    """How large the scans are, beside their rows."""

    shards: int = 100
    labels: int = 1000
    methods: int = 2


SETTINGS = {
    "usual": Setting(),
    "labels": Setting(labels=20_000),
    "methods": Setting(methods=len(METHODS)),
    "shards": Setting(shards=2000),
}


def made_scan(place: Path, rows: int, setting: Setting, seed: int) -> Directory:
    """A scan of random scores; its label bank lies beside it."""
    random, output, names = np.random.default_rng(seed), Directory(str(place)), METHODS[: setting.methods]
    bank, model = str(place.parent / "bank"), Model(name="bundled")
    config = Scan(input=("data",), labels=bank, output=str(place), method=names, model=model)
    planned, methods = Plan([_shard(number) for number in range(setting.shards)], {}), config.methods()
    identity = asked_for(config, methods, LabelBank.load(bank).content_hash(), planned)
    begin(output, config, identity, planned)
    fingerprints = Fingerprints.of_identity(identity, methods, False)
    thresholds = Thresholds({}, names[0], "folder", {name: MethodThreshold(CUT, "given") for name in names})
    thresholds.put(output)
    committer, tally = Committer(output, fingerprints.scores), Tally()
    flag = FlagShards(FlagSpec(output, fingerprints.scores, thresholds.values, names[0], "folder"))
    for shard in planned.shards:
        table = _rows(shard.id, rows // setting.shards, setting.labels, names, random)
        for receipts in flag(receipts_table([committer.commit(shard.id, table)])):
            tally.add(receipts)
    Manifest(output, fingerprints.whole).replace(tally)
    finish(output, planned, config, tally, {"images": 0}, flags_summary(output, tally, None))
    output.put(GALLERY_FILE, table_bytes(_gallery(output, tally, names), {FINGERPRINT_KEY: fingerprints.whole}))
    return output


def _shard(number: int) -> Shard:
    url = f"s3://bucket/dataset/shard-{number:06d}.tar"
    return Shard(shard_id(url.rpartition("/")[2], url), "tar", (url,), (), (10**8,), f"{number:016x}")


def _rows(shard: str, count: int, labels: int, methods: Sequence[str], random: np.random.Generator) -> pa.Table:
    bad = random.random(count) < BAD
    places = {"shard": [shard] * count, "index": pa.array(range(count), pa.int64())}
    keys = [f"folder {number % 50}/{random.integers(1 << 40):010x}.jpg" for number in range(count)]
    found: dict[str, Any] = {
        "id_label": [f"label {number}" for number in random.integers(labels, size=count)],
        "id_probability": random.random(count),
        "negative_label": [f"negative {number}" for number in random.zipf(1.3, count) % 10_000],
        **{score_column(name): random.beta(3, 1.2, count) for name in methods},
    }
    columns = {name: pa.array(values, mask=bad) for name, values in found.items()}
    return pa.table({**places, "key": keys, "status": np.where(bad, "unreadable-image", "ok"), **columns})


def _gallery(output: Directory, tally: Tally, names: Sequence[str]) -> pa.Table:
    """The images that are chosen, with a picture each."""
    methods, rows = {score_column(name): name for name in names}, list[dict[str, Any]]()
    shard, table = "", pa.table({})
    for choice in sorted(gallery_choices(tally, names[0]).to_pylist(), key=lambda one: (one["shard"], one["index"])):
        if choice["shard"] != shard:
            shard = choice["shard"]
            table = read_table(output, shard_file(SCORES, shard))
        told = {"method": methods[choice["column"]], "kind": choice["kind"], "rank": len(rows)}
        (row,) = table.slice(choice["index"], 1).to_pylist()
        rows.append({**told, **row, "thumbnail": _picture(len(rows))})
    return pa.Table.from_pylist(rows)


def _picture(number: int) -> bytes:
    """A thumbnail of some 4 kB, as photos have them."""
    cells = np.random.default_rng(number).integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(cells).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def measured(place: Path, rows: int, setting: Setting, repeats: int, browser: Browser) -> dict[str, Any]:
    """What the pages of two scans of a setting cost."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    texts, count = [f"label {number}" for number in range(setting.labels)], setting.labels
    vectors, nothing = np.ones((count, 1), np.float32), np.full(count, np.nan)
    LabelBank(texts, ["noun"] * count, count, vectors, nothing, [None] * count, BankInfo()).save(place / "bank")
    before, after = (made_scan(place / name, rows, setting, SEED + n) for n, name in enumerate(("before", "after")))

    def report() -> bytes:
        return report_of(EndedScan.read(after), EndedScan.read(before))

    def comparison() -> bytes:
        return render(comparison_page(compare(EndedScan.read(before), EndedScan.read(after)), [])).encode()

    found: dict[str, Any] = {**vars(setting), "loaded_s": 0.0}
    for name, work in {"report": report, "compare": comparison}.items():
        found[f"{name}_s"], content = _least(work, repeats)
        found[f"{name}_bytes"] = (place / f"{name}.html").write_bytes(content)
        loaded = [_loaded(browser, place / f"{name}.html") for _ in range(repeats)]
        found["loaded_s"] = max(found["loaded_s"], min(loaded))
    return found


def _least(work: Callable[[], bytes], repeats: int) -> tuple[float, bytes]:
    seconds, content = [], b""
    for _ in range(repeats):
        began = time.perf_counter()
        content = work()
        seconds.append(time.perf_counter() - began)
    return min(seconds), content


def _loaded(browser: Browser, path: Path) -> float:
    with browser.new_page() as page:
        began = time.perf_counter()
        page.goto(path.as_uri(), wait_until="load")
        return time.perf_counter() - began


def table(rows: int, found: Sequence[Mapping[str, Any]]) -> str:
    """The figures as Markdown."""
    names = ("shards", "labels", "methods", "report_s", "report_bytes", "compare_s", "compare_bytes", "loaded_s")
    shown = [[f"{of[name]:.2f}" if name.endswith("_s") else f"{of[name]:,}" for name in names] for of in found]
    lines = [["rows", *names], ["---:"] * (len(names) + 1), *([f"{rows:,}", *row] for row in shown)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    options_of = parser(__doc__)
    options_of.add_argument("--rows", type=int, default=100_000)
    options_of.add_argument("--repeats", type=int, default=3)
    options_of.add_argument("--only", choices=SETTINGS)
    options = options_of.parse_args()
    say(json.dumps(machine()))
    installed = os.environ.get("OODSCAN_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    found = list[Mapping[str, Any]]()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed, args=["--no-sandbox", "--disable-gpu"])
        for name, setting in SETTINGS.items():
            if options.only in (None, name):
                found.append(measured(options.scratch / "report-cost", options.rows, setting, options.repeats, browser))
                say(f"{name}: {json.dumps(found[-1])}")
        browser.close()
    print(table(options.rows, found))


if __name__ == "__main__":
    main()
