"""A training run that goes on from its own file, with a rate that rises, holds and cools down."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

_SAVE_EVERY_S = 120.0
_REPORT_EVERY = 100
_MAX_NORM = 1.0


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each of `steps` steps: cooled down over the last 40 % of them."""

    steps: int
    peak: float
    warm_up: int = 100
    cooldown: float = 0.4
    last: float = 0.02

    def rate(self, step: int) -> float:
        """The rate of a step, from 0."""
        left = (self.steps - step) / (self.cooldown * self.steps)
        return self.peak * min(1.0, (step + 1) / self.warm_up) * min(1.0, max(self.last, left))


@dataclass
class Trainer:
    """The model and the optimizers of a run, and the file that it is kept in."""

    path: Path
    model: nn.Module
    optimizers: list[torch.optim.Optimizer]
    schedule: Schedule
    cpu_s: float = 0.0
    _step: int = 0
    _means: dict[str, float] = field(default_factory=dict)

    def steps(self) -> Iterator[int]:
        """The numbers of the steps that are left; each must call `update`."""
        saved, spent = time.monotonic(), time.process_time()
        while self._step < self.schedule.steps:
            yield self._step
            self._step += 1
            self.cpu_s, spent = self.cpu_s + time.process_time() - spent, time.process_time()
            if self._step % _REPORT_EVERY == 0:
                means = "  ".join(f"{name} {value:.4f}" for name, value in self._means.items())
                print(f"step {self._step}  {self.cpu_s:.0f} s of CPU  {means}", flush=True)
            if time.monotonic() - saved > _SAVE_EVERY_S or self._step == self.schedule.steps:
                saved = time.monotonic()
                self._save()

    def update(self, loss: Tensor, shown: Mapping[str, Tensor]) -> None:
        """Step along the gradient of `loss`; keep running means of what is `shown`."""
        rate = self.schedule.rate(self._step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("rate_scale", 1.0)
        self.model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), _MAX_NORM)
        for optimizer in self.optimizers:
            optimizer.step()
        for name, value in shown.items():
            number = float(value.detach())
            self._means[name] = 0.98 * self._means.get(name, number) + 0.02 * number

    def resume(self) -> int:
        """Go on from the run's file, if there is one; the number of steps that are done."""
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.model.load_state_dict(state["model"])
            for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(kept)
            self._step, self.cpu_s = state["step"], state["cpu_s"]
        return self._step

    def _save(self) -> None:
        draft = self.path.with_suffix(".part")
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self._step,
            "cpu_s": self.cpu_s,
        }
        torch.save(state, draft)
        draft.rename(self.path)
