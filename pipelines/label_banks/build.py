"""Builds a label bank: mines negatives from a corpus with a pool of workers, has them judged, writes the bank."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ood_core.labels import LabelBank
from ood_core.negfilter.decisions import DECISIONS
from pipelines.config.judges import AnsweringJudge
from pipelines.judges.open_judge import check_fits
from pipelines.label_banks import judge_tables
from pipelines.label_banks.corpus import WORDS_AT_ONCE
from pipelines.label_banks.negfilter import NegFilter
from pipelines.label_banks.request import LabelBankRequest
from pipelines.runtime.model import ModelSpec
from pipelines.runtime.progress import Say

if TYPE_CHECKING:  # these import ray, and a caller's mistake must be answered at once
    from pipelines.label_banks.assemble import Mined
    from pipelines.label_banks.criteria import ClassImages
    from pipelines.label_banks.worker_pool import LabelWorkerPool


def build(
    request: LabelBankRequest, address: str | None = None, say: Say = lambda _: None, model: ModelSpec | None = None
) -> LabelBank:
    """Builds the label bank, writes it to the output directory and returns it.

    `address`: of a Ray cluster, None for one on this machine. `model`: in place of the configured one. Raises
    CallerError for a mistake that shows only on the cluster, such as a model that cannot be loaded there.
    """
    from pipelines.label_banks.assemble import assemble
    from pipelines.label_banks.worker_pool import label_worker_pool
    from pipelines.runtime.cluster import cluster
    from pipelines.runtime.model import model_spec

    config, candidates = request.config, sum(request.corpus.counts.values())
    with cluster(address) as found:
        check_fits(config.judge, found.cpus, found.gpus)
        spec = model or model_spec(config.model, config.encode, found).plain()
        say(f"{len(request.ids)} ID labels, {candidates} candidates from {', '.join(config.corpus)}")
        most = 1 + candidates // WORDS_AT_ONCE
        with label_worker_pool(spec, config.encode, found, request.criterion, request.ids, most) as workers:
            mined = _mined(request, workers, say)
        verdicts, counts = _judged(request, mined, say)  # the workers' CPUs and GPUs are free now
    bank = assemble(request, mined, verdicts, counts, spec)
    for name, content in bank.to_files().items():
        request.output.put(name, content)
    say(f"{bank.negative_count} negative labels kept: {config.output}")
    return bank


def unjudged_fraction(bank: LabelBank) -> float:
    """The share of the candidates put before a judge that lack an answer which their decision needs."""
    judged = sum(count for name, count in bank.info.counts.items() if name.startswith("judged_"))
    return bank.verdicts.count("unjudged") / max(1, judged)


def _mined(request: LabelBankRequest, workers: "LabelWorkerPool", say: Say) -> "Mined":
    """Everything that needs the model: the candidates that the criterion keeps, their embeddings, what is near."""
    from pipelines.label_banks.assemble import Mined
    from pipelines.label_banks.criteria import encoded, kept_labels, nearest, select

    images = _class_images(request, workers, say)
    selection = select(request.criterion, request.corpus, workers, images, say)
    candidates, near = kept_labels(selection), None
    kept = Counter(candidates.parts)
    if isinstance(request.config.judge, AnsweringJudge):
        candidates = candidates.cleaned() if request.config.judge.clean else candidates
        near = nearest(candidates, workers, len(request.ids), request.config.judge.nearest)
    embeddings, ids = encoded(candidates, workers, say), workers.ask("ids")
    return Mined(kept, candidates, embeddings, ids, near, images, selection.survivors, workers.facts)


def _judged(request: LabelBankRequest, mined: "Mined", say: Say) -> tuple[Sequence[str | None], Mapping[str, int]]:
    """The verdict on each candidate, None without a judge, and how often each was met; writes the judge's tables."""
    judge = request.judge
    if judge is None or mined.nearest is None:
        judge_tables.remove(request.output)
        return [None] * len(mined.candidates), {}
    filtered = NegFilter(mined.candidates, request.ids, mined.nearest, request.answers)
    filtered.ask(judge, request.store, say)
    decided = filtered.decisions()
    judge_tables.write(request.output, filtered, judge, decided)
    return [DECISIONS[code] for code in decided.decision], judge_tables.counts(filtered, decided)


def _class_images(request: LabelBankRequest, workers: "LabelWorkerPool", say: Say) -> "ClassImages | None":
    """The mean image of every ID label, from labelled or unlabelled images; None if the criterion needs none."""
    from pipelines.label_banks.criteria import class_images
    from pipelines.label_banks.unlabelled_images import unlabelled_class_images

    if request.config.unlabelled_images:
        return unlabelled_class_images(request.config, request.ids, request.corpus, workers, request.options)
    if request.id_images is None:
        return None
    if warning := request.id_images.warning():
        say(warning)
    return class_images(request.config, request.id_images, request.ids, workers, request.options)
