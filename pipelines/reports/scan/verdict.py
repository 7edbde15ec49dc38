"""What a report says first: its one sentence, and the facts beside it. Free of torch."""

from ood_core.calibration import share_interval
from pipelines.reports.ended import EndedScan
from pipelines.reports.html.blocks import Tone
from pipelines.reports.html.page import Fact, Verdict
from pipelines.reports.html.wording import count, decimal, share
from pipelines.scan_directory.columns import flag_column


def verdict(scan: EndedScan, before: EndedScan | None) -> Verdict:
    """The scan in one sentence. `before`: last night's."""
    method, flagged = scan.deciding, scan.share(scan.deciding)
    details = [f"Images that score below their method's threshold are flagged; {method} decides."]
    if flagged is None:
        return Verdict("bad" if not scan.tally.scored else "warn", _nothing(scan), " ".join(details))
    threshold = scan.thresholds.methods[method]
    details.append(f"Its threshold {threshold.said}.")
    sentence = f"{share(flagged)} of {count(scan.tally.scored)} images are flagged by {method}"
    then = before.share(before.deciding) if before else None
    if before and then is not None:
        sentence += f", after {share(then)} in {before.name}"
    return Verdict(_tone(scan, threshold.source == "estimated"), f"{sentence}{_failures(scan)}.", " ".join(details))


def facts(scan: EndedScan, before: EndedScan | None) -> list[Fact]:
    """The figures of the first screen."""
    method, flagged = scan.deciding, scan.share(scan.deciding)
    found = [Fact("records", count(scan.tally.records), f"in {count(len(scan.shards))} shards")]
    if flagged is not None:
        images = scan.tally.flagged[flag_column(method)]
        low, high = share_interval(images, scan.tally.scored)
        allowed = scan.summary.get("flags", {}).get("max_flagged")
        within = scan.summary.get("flags", {}).get("within_max_flagged", True)
        tone: Tone = "neutral" if allowed is None else "good" if within else "bad"
        note = f"{share(flagged)}, by chance {share(low)} to {share(high)}"
        if allowed is not None:
            note += f"; {share(allowed)} may be"
        found.append(Fact(f"flagged by {method}", count(images), note, tone))
    then = before.share(before.deciding) if before else None
    if before and then is not None and flagged is not None:
        points = f"{'+' if flagged > then else ''}{decimal(100 * (flagged - then), 1)}"
        found.append(Fact("since last night", f"{points} points", f"{share(then)} in {before.name}"))
    errors = scan.tally.records - scan.tally.scored
    kinds = ", ".join(f"{count(number)} {status}" for status, number in _errors(scan)) or "every record was scored"
    found.append(Fact("errors", count(errors), kinds, "bad" if not scan.summary.get("success") else "neutral"))
    speed = scan.summary.get("last_run", {}).get("steady_images_per_s")
    if speed:
        found.append(
            Fact("images a second", count(round(speed)), f"limited by {scan.summary['last_run']['limited_by']}")
        )
    return found


def _tone(scan: EndedScan, estimated: bool) -> Tone:
    if not scan.summary.get("success") or not scan.summary.get("flags", {}).get("within_max_flagged", True):
        return "bad"
    return "warn" if estimated else "good"


def _nothing(scan: EndedScan) -> str:
    if scan.tally.scored:
        return (
            f"{count(scan.tally.scored)} images are scored, and no threshold can be set: their scores are all the same."
        )
    return f"None of {count(scan.tally.records)} records could be scored."


def _failures(scan: EndedScan) -> str:
    """What else is wrong with the scan, to go on with its sentence."""
    if scan.summary.get("success"):
        return ""
    bad, shards = scan.summary.get("bad_fraction", 0.0), scan.summary.get("bad_shards", 0)
    said = [f"{share(bad)} of the records are bad"] if bad > scan.summary.get("max_bad_fraction", 1.0) else []
    if shards > scan.summary.get("max_bad_shards", 0):
        said.append(f"{count(shards)} archives are damaged or could not be read")
    return f", and {' and '.join(said)}" if said else ""


def _errors(scan: EndedScan) -> list[tuple[str, int]]:
    """The statuses of records without scores, the most frequent first."""
    found = [(status, number) for status, number in scan.tally.statuses.items() if status != "ok"]
    return sorted(found, key=lambda item: (-item[1], item[0]))
