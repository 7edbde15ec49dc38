"""Label banks: mine negatives from a corpus, encode through a pool of actors, keep what the criterion keeps."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ood_core.labels import LabelBank
from ood_core.negfilter.decisions import DECISIONS
from pipelines.config.judges import Asking
from pipelines.label_banks.corpus import WORDS_AT_ONCE
from pipelines.label_banks.judges import check_fits
from pipelines.label_banks.negfilter import NegFilter
from pipelines.label_banks.request import Build
from pipelines.runtime.model import ModelSpec
from pipelines.runtime.progress import Say

if TYPE_CHECKING:
    from pipelines.label_banks.assemble import Mined
    from pipelines.label_banks.criteria import ClassImages
    from pipelines.label_banks.workers import LabelWorkers


def build(
    asked: Build, address: str | None = None, say: Say = lambda _: None, model: ModelSpec | None = None
) -> LabelBank:
    """Makes the bank, writes it to the output directory and returns it. `model`: in place of the configured one."""
    from pipelines.label_banks.assemble import bank_of
    from pipelines.label_banks.workers import label_workers
    from pipelines.runtime.cluster import cluster
    from pipelines.runtime.model import model_spec

    config, candidates = asked.config, sum(asked.corpus.counts.values())
    with cluster(address) as found:
        check_fits(config.judge, found.cpus, found.gpus)
        spec = model or model_spec(config.model, config.encode, found)
        say(f"{len(asked.ids)} ID labels, {candidates} candidates from {', '.join(config.corpus)}")
        most = 1 + candidates // WORDS_AT_ONCE
        with label_workers(spec, config.encode, found, asked.criterion, asked.ids, most) as workers:
            mined = _mined(asked, workers, say)
        verdicts, counts = _judged(asked, mined, say)  # the workers' CPUs and GPUs are free now
    bank = bank_of(asked, mined, verdicts, counts, spec)
    for name, content in bank.to_files().items():
        asked.output.put(name, content)
    say(f"{bank.negative_count} negative labels kept: {config.output}")
    return bank


def unjudged_fraction(bank: LabelBank) -> float:
    """Of the candidates that a judge was asked about, how many lack an answer that is needed."""
    judged = sum(count for name, count in bank.info.counts.items() if name.startswith("judged_"))
    return bank.verdicts.count("unjudged") / max(1, judged)


def _mined(asked: Build, workers: "LabelWorkers", say: Say) -> "Mined":
    from pipelines.label_banks.assemble import Mined
    from pipelines.label_banks.criteria import candidates_of, encoded, nearest, select

    images = _class_images(asked, workers, say)
    selection = select(asked.criterion, asked.corpus, workers, images, say)
    candidates, near = candidates_of(selection), None
    kept = Counter(candidates.parts)
    if isinstance(asked.config.judge, Asking):
        candidates = candidates.cleaned() if asked.config.judge.clean else candidates
        near = nearest(candidates, workers, len(asked.ids), asked.config.judge.nearest)
    embeddings, ids = encoded(candidates, workers), workers.ask("ids")
    return Mined(kept, candidates, embeddings, ids, near, images, selection.survivors, workers.facts)


def _judged(asked: Build, mined: "Mined", say: Say) -> tuple[Sequence[str | None], Mapping[str, int]]:
    """What becomes of each candidate, and how often; the judge's tables are written."""
    from pipelines.label_banks import judge_tables as judged_files

    judge = asked.judge
    if judge is None or mined.nearest is None:
        judged_files.remove(asked.output)
        return [None] * len(mined.candidates), {}
    filtered = NegFilter(mined.candidates, asked.ids, mined.nearest, asked.answers)
    filtered.ask(judge, asked.store, say)
    decided = filtered.decisions()
    judged_files.write(asked.output, filtered, judge, decided)
    return [DECISIONS[code] for code in decided.decision], judged_files.counts(filtered, decided)


def _class_images(asked: Build, workers: "LabelWorkers", say: Say) -> "ClassImages | None":
    from pipelines.label_banks.criteria import class_images
    from pipelines.label_banks.unlabelled_images import first_pass_images

    if asked.config.first_pass:
        return first_pass_images(asked.config, asked.ids, asked.corpus, workers, asked.options)
    if asked.id_images is None:
        return None
    if warning := asked.id_images.warning():
        say(warning)
    return class_images(asked.config, asked.id_images, asked.ids, workers, asked.options)
