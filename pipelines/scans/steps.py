"""The list of steps that a scan or rescoring consists of, made in one place from what was asked for."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import ray

from ood_core.methods import TANL, ImageMethod, LearningMethod, learners_of, of_images
from pipelines.consensus.asked import Asked
from pipelines.consensus.files import ConsensusFiles
from pipelines.consensus.step import ConsensusStep, ReferenceShards
from pipelines.consensus.workers import ConsensusSpec
from pipelines.memory.files import MemoryFiles
from pipelines.memory.keeper import Keeper, memory_keeper
from pipelines.memory.orders import has_sequential
from pipelines.memory.rounds import choosers
from pipelines.memory.rounds_step import RoundsSpec, RoundsStep
from pipelines.memory.scoring import MemoryUse
from pipelines.memory.step import LearnStep
from pipelines.memory.workers import LearnSpec
from pipelines.scan_directory.layout import SCORED, SCORES
from pipelines.scan_directory.run import Run
from pipelines.scans.placement import FirstStep, Placement
from pipelines.scans.request import Request
from pipelines.scans.score_learned import ScoreLearnedStep, learned_by
from pipelines.scans.score_reference import ScoreReferenceStep
from pipelines.scans.step import Step
from pipelines.scans.take_over import TakeOverStep
from pipelines.scans.workers.score_embeddings import ScoreEmbeddingsSpec
from pipelines.scans.workers.score_learned import ScoreLearnedSpec


def steps_of(request: Request, placement: Placement, run: Run, opened: ExitStack) -> list[Step]:
    """The steps in order: encode; learn and score if a method learns from the whole input; consensus if a method
    goes by neighbours, and before all of them what its reference takes, and what is taken over from an earlier scan.

    What has to be closed after the last one, the memory's actors, is left to `opened`.
    """
    made = _Steps(request, placement, run)
    keeper = opened.enter_context(made.keeper()) if made.learners or made.streaming else None
    asked, folder = Asked.of(request.methods, bool(request.verdicts)), request.first_folder
    twice = bool(made.learners or made.choosers)
    steps: list[Step] = [made.encode(folder, keeper)]
    if keeper and made.learners:
        steps.append(made.learn(keeper))
    steps += [made.rounds(chosen) for chosen in made.choosers.values()]
    if twice:
        steps.append(made.score(SCORED if asked else SCORES))
    if asked:
        steps.append(made.consensus(asked, steps[-1].folder))
        if scored := made.reference_scores(asked):
            steps.append(scored)
    before: list[Step] = list(placement.reference_steps(run))
    if request.since:
        keeps = request.config.keeps_embeddings
        before.append(TakeOverStep(run, request.since, placement.score_pool, folder, keeps))
    return [*before, *steps]


def first_step_of(request: Request, placement: Placement, run: Run) -> Step:
    """The step that reads the input, as `steps_of` has it, but that it offers nothing to a memory."""
    return _Steps(request, placement, run).encode(request.first_folder, None)


@dataclass(frozen=True)
class _Steps:
    """Each step of one run, as what was asked for and where it runs have it."""

    request: Request
    placement: Placement
    run: Run

    @property
    def methods(self) -> dict[str, ImageMethod]:
        return of_images(self.request.methods)

    @property
    def learners(self) -> dict[str, LearningMethod]:
        """The methods that learn from the whole input before it is scored."""
        return learners_of(self.methods) if self._learns else {}

    @property
    def choosers(self) -> Mapping[str, TANL]:
        """The methods that look at the whole input in rounds before it is scored."""
        return choosers(self.request.config)

    @property
    def streaming(self) -> dict[str, LearningMethod]:
        """The methods that learn while they score."""
        return learners_of(self.methods, "streaming") if self._learns else {}

    @property
    def _learns(self) -> bool:
        """Whether a memory is filled: not if it is frozen, nor in sequential order, where one step does it all."""
        return not (self.request.config.memory.freeze or has_sequential(self.methods))

    def keeper(self) -> AbstractContextManager[Keeper]:
        """The memory's keeper. What the scan begins with is written first, since the actors read it."""
        files = MemoryFiles(self.run.output, self.run.fingerprint, self.request.bank.dim)
        if self.request.initial:
            self.request.initial.keep(files)
        return memory_keeper(
            files, self.learners or self.streaming, self.request.bank, self.request.config.memory.shards
        )

    def encode(self, folder: str, keeper: Keeper | None) -> Step:
        later = {*self.learners, *self.choosers}
        static = {name: chosen for name, chosen in self.methods.items() if name not in later}
        return self.placement.first_step(self.run, FirstStep(folder, static, self._memory_use(keeper), keeper))

    def _memory_use(self, keeper: Keeper | None) -> MemoryUse:
        """What the workers of the first step have to do with a memory.

        Methods that adapt to the whole input cannot say what they want remembered before they have gone over it.
        """
        frozen, initial = self.request.config.memory.freeze, self.request.initial
        if frozen and initial:
            return MemoryUse(ray.put(initial.learned()), initial.version)
        if keeper is None or any(chosen.adapts for chosen in self.learners.values()):
            return MemoryUse()
        staleness = self.request.config.memory.max_staleness if self.streaming else 0
        return MemoryUse(memory=keeper.spec, learners=keeper.learners, max_staleness=staleness)

    def learn(self, keeper: Keeper) -> Step:
        placement = self.placement
        spec = LearnSpec(
            self.request.bank, self.learners, placement.embeddings, placement.device, placement.score_pool.threads
        )
        return LearnStep(self.run, keeper, spec, placement.score_pool, placement.model)

    def rounds(self, chosen: TANL) -> Step:
        placement = self.placement
        bank = ray.put(self.request.bank)
        spec = RoundsSpec(bank, placement.embeddings, placement.device, placement.score_pool.threads)
        return RoundsStep(self.run, chosen, spec, placement.score_pool, placement.model)

    def score(self, folder: str) -> Step:
        return ScoreLearnedStep(self.run, self._learned(), self.placement.score_pool, folder)

    def _learned(self) -> ScoreLearnedSpec:
        return ScoreLearnedSpec(
            output=self.run.output,
            bank=self.request.bank,
            methods=tuple(self.methods),
            learners=self.learners,
            choosers=self.choosers,
            memory=MemoryUse(),
            embeddings=self.placement.embeddings,
            keep=self.placement.kept,
            device=self.placement.device,
            threads=self.placement.score_pool.threads,
        )

    def reference_scores(self, asked: Asked) -> Step | None:
        """The step that scores the reference, if it is to tell thresholds. Methods that need the images, or learn while
        they score, are left out: nothing is known by which they could score others."""
        request, placement, flags = self.request, self.placement, self.request.flags
        if not request.reference or not flags.by_reference(request.methods):
            return None
        methods = {
            name: chosen
            for name, chosen in self.methods.items()
            if not chosen.needs_local_features and name not in self.streaming
        }
        asked_for = asked if set(asked.bases) <= methods.keys() else None
        spec = ScoreEmbeddingsSpec(
            request.bank, methods, placement.reference, placement.texts, placement.device, placement.score_pool.threads
        )
        return ScoreReferenceStep(
            self.run, request.reference.plan.shards, spec, placement.score_pool, asked_for, self._memory_of_all
        )

    def _memory_of_all(self) -> MemoryUse:
        """What all methods have learned, once they have."""
        learned = self._learned()
        return learned_by(self.run, learned) if learned.due else self._memory_use(None)

    def consensus(self, asked: Asked, scores: str) -> Step:
        """`scores`: the folder of the rows with the scores that it goes by."""
        request, placement = self.request, self.placement
        bank, reference = request.bank, request.reference
        spec = ConsensusSpec(
            files=ConsensusFiles(self.run.output, self.run.fingerprint),
            asked=asked,
            bases={base: self.methods[base] for base in asked.bases},
            labels=bank.embeddings[: bank.id_count] if asked.on_labels else None,
            verdicts=request.verdicts,
            embeddings=placement.embeddings,
            scores=scores,
            methods=tuple(request.methods),
            keep_embeddings=placement.kept is not None,
            device=placement.device,
            threads=placement.score_pool.threads,
        )
        of_reference = ReferenceShards(reference.plan.shards, placement.reference) if reference else None
        return ConsensusStep(self.run, spec, placement.score_pool, of_reference)
