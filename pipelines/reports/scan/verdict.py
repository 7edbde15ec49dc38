"""What a report says first: its one sentence, and the facts beside it. Free of torch."""

from ood_core.calibration import share_interval
from pipelines.reports.ended import EndedScan, names_of
from pipelines.reports.html.blocks import Tone
from pipelines.reports.html.page import Fact, Verdict
from pipelines.reports.html.wording import count, share
from pipelines.scan_directory.columns import flag_column

HINT = "To say what belongs, give --calibrate a scan of images that belong, a --reference, or --threshold."


def verdict(scan: EndedScan, before: EndedScan | None) -> Verdict:
    """The scan in one sentence. `before`: last night's."""
    details = [f"Images that score below a method's threshold are flagged; {scan.deciding} decides."]
    if threshold := scan.thresholds.methods.get(scan.deciding):
        details.append(f"Its threshold {threshold.said}.")
        if threshold.source == "estimated":
            details.append(HINT)
    parts = [_flagged(scan, before), *_faults(scan)]
    return Verdict(_tone(scan), f"{'; '.join(parts)}.", " ".join(details) if scan.tally.scored else "")


def facts(scan: EndedScan, before: EndedScan | None) -> list[Fact]:
    """The figures of the first screen."""
    shards = counted(len(scan.shards), "shard")
    found = [Fact("records", count(scan.tally.records), f"in {shards}"), *_of_flags(scan, before)]
    errors = scan.tally.records - scan.tally.scored
    kinds = ", ".join(f"{count(number)} {status}" for status, number in errors_of(scan))
    kinds = kinds or ("every record has a score" if scan.tally.records else "")
    within = scan.summary.get("within_error_budget", True)
    found.append(Fact("errors", count(errors), kinds, "neutral" if within else "bad"))
    last_run = scan.summary.get("last_run") or {}
    if speed := last_run.get("steady_images_per_s"):
        found.append(Fact("images a second", count(round(speed)), f"limited by {last_run['limited_by']}"))
    return found


def errors_of(scan: EndedScan) -> list[tuple[str, int]]:
    """The statuses of records without scores, the most frequent first."""
    found = [(status, number) for status, number in scan.tally.statuses.items() if status != "ok"]
    return sorted(found, key=lambda item: (-item[1], item[0]))


def points(more: float) -> str:
    """A difference of two shares, in hundredths, with its sign."""
    text = f"{100 * more:+.1f}".replace("-", "−")
    return "±0.0" if text[1:] == "0.0" else text


def _flagged(scan: EndedScan, before: EndedScan | None) -> str:
    """What is flagged, or why nothing is, and what was last night."""
    flagged, method = scan.share(scan.deciding), scan.deciding
    if not scan.tally.records:
        return "The input holds no records"
    if not scan.tally.scored:
        return f"No image could be scored, of {counted(scan.tally.records, 'record')}"
    said = counted(scan.tally.scored, "image")
    if flagged is None:
        return f"Nothing is flagged of {said}: {method} has no threshold, as all of its scores are the same"
    then = before.share(method) if before else None
    since = "" if before is None or then is None else f", after {share(then)} in {names_of([before, scan])[0]}"
    return f"{share(flagged)} of {said} {'is' if scan.tally.scored == 1 else 'are'} flagged by {method}{since}"


def _of_flags(scan: EndedScan, before: EndedScan | None) -> list[Fact]:
    """How many images are flagged, and how many more than last night."""
    method, flagged, allowed = scan.deciding, scan.share(scan.deciding), _allowed(scan)
    if flagged is None:
        return []
    images = scan.tally.flagged[flag_column(method)]
    low, high = share_interval(images, scan.tally.scored)
    tone: Tone = "neutral" if allowed is None else "good" if _within(scan) else "bad"
    note = f"{share(flagged)} (95 % interval: {share(low)} to {share(high)})"
    note += "" if allowed is None else f", {share(allowed)} may be"
    found = [Fact(f"flagged by {method}", count(images), note, tone)]
    if before and (then := before.share(method)) is not None:
        note = f"{share(then)} in {names_of([before, scan])[0]}"
        found.append(Fact("since last night", f"{points(flagged - then)} points", note))
    return found


def _tone(scan: EndedScan) -> Tone:
    """Good only where somebody has said what may be flagged, or nothing is."""
    threshold = scan.thresholds.methods.get(scan.deciding)
    if not scan.summary.get("success") or not _within(scan):
        return "bad"
    if threshold is None or threshold.source == "estimated":
        return "warn"
    return "good" if _allowed(scan) is not None or not scan.share(scan.deciding) else "neutral"


def _faults(scan: EndedScan) -> list[str]:
    """Why the command that made the scan has failed, each to go on with its sentence."""
    found, summary, allowed = list[str](), scan.summary, _allowed(scan)
    if allowed is not None and not _within(scan):
        found.append(f"no more than {share(allowed)} may be")
    bad, may_be = summary.get("bad_fraction", 0.0), summary.get("max_bad_fraction", 1.0)
    if scan.tally.scored and bad > may_be:
        found.append(f"{share(bad)} of the records are in error, and {share(may_be)} may be")
    if (shards := summary.get("bad_shards", 0)) > summary.get("max_bad_shards", 0):
        found.append(f"{counted(shards, 'archive')} {'is' if shards == 1 else 'are'} damaged or could not be read")
    return found


def _allowed(scan: EndedScan) -> float | None:
    """The share of images that may be flagged; None: any."""
    return scan.summary.get("flags", {}).get("max_flagged")


def _within(scan: EndedScan) -> bool:
    return bool(scan.summary.get("flags", {}).get("within_max_flagged", True))


def counted(number: int, what: str) -> str:
    """So many of something, in words."""
    return f"{count(number)} {what}{'' if number == 1 else 's'}"
