"""Train the demo model: first text only, then pictures against their names, keywords, folders and hypernyms.

python -m infra.demo_model.train --data DIR --output DIR --minutes 80 [--deadline HH:MM] [--resume]
"""

import argparse
import copy
import math
import random
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import torch
from open_clip.model import CLIP
from torch import Tensor

from infra.demo_model.augment import augmented
from infra.demo_model.losses import kinds, picture_text, text_features, text_text
from infra.demo_model.model import build
from infra.demo_model.pool import PicturePool
from infra.demo_model.texts import Nouns, Tokens

BATCH, NOUNS = 192, 112
TEXT_ONLY, SMALL_UNTIL = 0.04, 0.70  # shares of the run: texts alone, then 48 px until here, then 64 px
LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 2e-3, 0.10, 0.03
EMA_STEPS = 600
MAX_SCALE = 40.0
CHECKPOINT_S = 180.0


class Schedule:
    """Progress from 0 to 1 over the run's own step time, hurried so that it ends by a deadline."""

    def __init__(self, minutes: float, deadline: str | None) -> None:
        self.progress, self.budget_s = 0.0, 60 * minutes
        self.ends_at = _next(deadline) if deadline else None

    def advance(self, step_s: float) -> None:
        """Count one step; a step that was stopped from outside counts as five seconds at most."""
        left_s = self.budget_s * (1 - self.progress)
        if self.ends_at:
            left_s = min(left_s, (self.ends_at - datetime.now(UTC)).total_seconds())
        self.progress = min(1.0, self.progress + (1 - self.progress) * min(step_s, 5.0) / max(left_s, step_s, 1e-3))

    @property
    def learning_rate(self) -> float:
        rise = min(1.0, self.progress / WARM_UP)
        return LEARNING_RATE * rise * max(0.01, 0.5 * (1 + math.cos(math.pi * self.progress)))

    def strength(self, at: float) -> float:
        """Of augmentation, for a draw in [0, 1): light in most batches, strong in more of them as the run goes on."""
        return 0.9 if at < min(0.4, self.progress) * min(1.0, 10 * (1 - self.progress)) else 0.35


def _next(clock: str) -> datetime:
    now = datetime.now(UTC)
    hour, minute = map(int, clock.split(":"))
    at = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return at if at > now else at + timedelta(days=1)


@dataclass
class Trainer:
    """Everything a run changes: the model, its moving average, the optimiser and the schedule."""

    model: CLIP
    average: CLIP
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    steps: int = 0

    def step(self, loss: Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.learning_rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.model.logit_scale.data.clamp_(max=math.log(MAX_SCALE))
        self.steps += 1
        self._follow(max(1 / EMA_STEPS, 10 / (self.steps + 50)))

    @torch.no_grad()
    def _follow(self, weight: float) -> None:
        for slow, fast in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            slow.lerp_(fast, weight) if slow.is_floating_point() else slow.copy_(fast)

    def save(self, path: Path) -> None:
        """Written beside, then renamed, so that a killed run leaves a whole checkpoint."""
        state = {name: getattr(self, name).state_dict() for name in ("model", "average", "optimiser")}
        state |= {"progress": self.schedule.progress, "steps": self.steps}
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        for name in ("model", "average", "optimiser"):
            getattr(self, name).load_state_dict(state[name])
        self.schedule.progress, self.steps = state["progress"], state["steps"]


class Run:
    """One training step: draws a batch and gives its loss."""

    def __init__(self, pool: PicturePool, nouns: Nouns, tokens: Tokens, seed: int) -> None:
        self.pool, self.nouns, self.tokens = pool, nouns, tokens
        self.random = random.Random(seed)  # noqa: S311
        self.torch_random = torch.Generator().manual_seed(seed)

    def loss(self, trainer: Trainer) -> Tensor:
        """0.3 text-text and, after the text-only time, picture-text with the drawn nouns as further wrong texts."""
        model, schedule = trainer.model, trainer.schedule
        with_pictures = schedule.progress >= TEXT_ONLY
        batch = self.pool.draw(BATCH, self.random) if with_pictures else None
        nouns = self.nouns.sample(NOUNS if with_pictures else 4 * NOUNS)
        words = [*(n.word for n in nouns), *(n.text for n in nouns), *(batch.texts if batch else [])]
        features = text_features(model, self.tokens.batch(words, self.random))
        scale, n = model.logit_scale.exp(), len(nouns)
        loss = text_text(scale * features[:n] @ features[n : 2 * n].T, self.nouns.related(nouns))
        loss = loss + kinds(features[: 2 * n], self.nouns.same_kind(nouns))
        if batch is None:
            return loss
        pixels = 48 if schedule.progress < SMALL_UNTIL else 64
        images = augmented(
            self.pool.pixels[batch.pictures], pixels, schedule.strength(self.random.random()), self.torch_random
        )
        with torch.autocast("cpu", torch.bfloat16):
            seen = model.visual(images.contiguous(memory_format=torch.channels_last))
        texts = torch.cat([features[2 * n :], features[:n]])
        logits = scale * torch.nn.functional.normalize(seen.float(), dim=-1) @ texts.T
        true = torch.nn.functional.pad(batch.true, (0, n))
        return 0.3 * loss + picture_text(logits, batch.drawn, true)


def _line(trainer: Trainer, loss: float, step_s: float) -> str:
    scale = trainer.model.logit_scale.exp().item()
    return f"{trainer.steps} {trainer.schedule.progress:.3f} loss {loss:.3f} scale {scale:.1f} {step_s:.3f} s"


def train(trainer: Trainer, run: Run, checkpoint: Path) -> None:
    """Steps until the schedule ends, with a line in the log every hundred."""
    saved_at, losses, began = time.monotonic(), 0.0, time.monotonic()
    while trainer.schedule.progress < 1:
        step_began = time.monotonic()
        loss = run.loss(trainer)
        trainer.step(loss)
        losses += loss.item()
        trainer.schedule.advance(time.monotonic() - step_began)
        if trainer.steps % 100 == 0:
            took_s = (time.monotonic() - began) / 100
            print(_line(trainer, losses / 100, took_s), flush=True)
            losses, began = 0.0, time.monotonic()
        if time.monotonic() - saved_at > CHECKPOINT_S:
            trainer.save(checkpoint)
            saved_at = time.monotonic()
    trainer.save(checkpoint)


def decayed(model: torch.nn.Module) -> list[dict]:
    """Parameter groups: matrices and filters decay; biases, norms and the scale do not."""
    parameters = list(model.parameters())
    wide, narrow = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    return [{"params": wide, "weight_decay": WEIGHT_DECAY}, {"params": narrow, "weight_decay": 0.0}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=80.0, help="step time of the whole run")
    parser.add_argument("--deadline", help="HH:MM in UTC by which the run ends, however slow the machine")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    pool, nouns = PicturePool.of_split(options.data, "train"), Nouns(random.Random(options.seed))  # noqa: S311
    tokens = Tokens(sorted({*pool.texts, *nouns.texts()}))
    model = build(len(tokens.used), drop=0.1).train()
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    optimiser = torch.optim.AdamW(decayed(model), lr=LEARNING_RATE, betas=(0.9, 0.98), fused=True)
    trainer = Trainer(model, copy.deepcopy(model), optimiser, Schedule(options.minutes, options.deadline))
    (options.output / "tokens.txt").write_text("\n".join(map(str, tokens.used)))
    checkpoint = options.output / "checkpoint.pt"
    if options.resume:
        trainer.load(checkpoint)
    train(trainer, Run(pool, nouns, tokens, options.seed + trainer.steps), checkpoint)


if __name__ == "__main__":
    main()
