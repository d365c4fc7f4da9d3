"""The loop that trains any network: steps in parts, half precision, processes, early stopping, resumption after a kill.

What a network is trained on is a `Task`'s: the engine knows no features and no labels, and no files but its own state.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed

from ser.config import LoopConfig
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.training.gradients.adapters import RankSchedule
from ser.training.gradients.state import RunState, hash_tensors, random_states, set_random_states
from ser.training.gradients.task import Outcome, Places, Surroundings, Task
from ser.training.progress import TrainProgress

STATE_SECONDS = 120.0
"""Between savings of the run within an epoch; each epoch's end is saved in any case."""

KEPT_VALUES = ("epoch", "place", "step", "losses", "loss", "score", "curve", "best_epoch", "best", "parts")
KEPT_OBJECTS = ("optimizer", "schedule", "scaler")
"""Attributes of a run that its state on disk holds, apart from weights and random generators."""


def optimise(network: torch.nn.Module, task: Task, config: LoopConfig, around: Surroundings) -> Outcome:
    """Train `network` in place, on the device of `around`; the chosen epoch's weights are in it afterwards.

    Args:
        network: with its initial weights; parameters that need no gradient stay as they are.
        task: the data and the loss.
        config: of the loop.
        around: devices, files and watchers.

    Raises:
        SettingsError: if steps are too small to be shared among the processes.
        TrainingDataError: if the kept state is another run's, or damaged, or not even one example fits the memory.
        TrainingCancelledError: when asked to stop.
    """
    around.processes.check(config)
    with torch_threads(config.threads):
        return _Run(network, task, config, around).run()


class _Run:
    """One run's moving parts."""

    def __init__(self, network: torch.nn.Module, task: Task, config: LoopConfig, around: Surroundings) -> None:
        self.task, self.config, self.around, self.processes = task, config, around, around.processes
        self.device = self.processes.device
        self.state = self._identify(network) if around.state_dir else None
        # Dropout differs between processes; what is drawn of the data does not come from here.
        set_seed(config.seed + 7919 * self.processes.rank)
        self.network = network.to(self.device)
        self.model = self.processes.wrap(self.network)
        self.ranks = RankSchedule.of(network)
        # A module may have two names.
        parameters = network.named_parameters(remove_duplicate=False)
        frozen = {name for name, parameter in parameters if not parameter.requires_grad}
        self.changing = [name for name in network.state_dict() if name not in frozen]
        self.trained = [p for p in network.parameters() if p.requires_grad]
        self.anchor = [p.detach().clone() for p in self.trained] if config.anchor else []
        self.optimizer = torch.optim.AdamW(
            decay_groups(self.trained, config.weight_decay), lr=config.learning_rate, fused=True
        )
        self.steps = task.steps * config.epochs
        warmup = max(1, round(config.warmup * self.steps))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: linear(step, self.steps, warmup))
        self.half = half_precision(self.device) if config.autocast else None
        self.scaler = torch.amp.GradScaler(torch.device(self.device).type, enabled=self.half is torch.float16)
        self.epoch, self.place, self.step = 1, 0, 0
        self.parts = config.accumulation
        self.losses: list[float] = []
        self.loss: float | None = None
        self.score: float | None = None
        self.curve: list[dict[str, object]] = []
        self.best_weights, self.best_epoch, self.best = self._weights(), 0, -math.inf

    def run(self) -> Outcome:
        if self.state is not None and (state := self.state.load()) is not None:
            self._restore(state)
        self.started = self.saved = time.monotonic()
        first = self.step
        while self.epoch <= self.config.epochs and not self._stopped_early():
            failure = None
            try:
                self._epoch(first)
            except torch.OutOfMemoryError as error:
                # What the error holds on to is let go of only outside of here.
                failure = str(error).split(". ")[0]
            if failure is not None:
                self._use_smaller_parts(failure)
        self.network.load_state_dict(self.best_weights, strict=False)
        return Outcome(self.curve, self.best_epoch)

    def _stopped_early(self) -> bool:
        patience = self.config.patience
        return patience is not None and bool(self.curve) and self.epoch - 1 - self.best_epoch >= patience

    def _weights(self) -> dict[str, torch.Tensor]:
        """Copy the weights and statistics that training changes."""
        state = self.network.state_dict()
        return {name: state[name].clone() for name in self.changing}

    def _epoch(self, first: int) -> None:
        self.network.train(self.task.dropout)
        plan = self.task.plan(self.epoch)
        while self.place < len(plan):
            self._step(plan[self.place], first)
        entry: dict[str, object] = {"epoch": self.epoch, "loss": float(np.mean(self.losses))}
        ranking = float(self.epoch)
        dev = self.task.evaluate(self.network)
        if dev is not None:
            self.score = dev.score
            entry |= dev.figures
            ranking = dev.score if self.config.choose_best else ranking
        self.curve.append(entry)
        self._report(first, entry)
        if ranking > self.best:
            self.best_weights, self.best_epoch, self.best = self._weights(), self.epoch, ranking
        self.epoch, self.place, self.losses = self.epoch + 1, 0, []
        self._save()

    def _use_smaller_parts(self, failure: str) -> None:
        """Go on from what was kept last with parts of half the size; the step stays what it is."""
        if self.processes.count > 1 or self.parts >= self.config.batch_size:
            clips = self.config.batch_size // (self.parts * self.processes.count)
            raise TrainingDataError(
                f"The memory of {self.device} does not hold {max(1, clips)} clip(s) at once ({failure}). Train on a "
                "device with more memory, on shorter clips (max_duration), with smaller batches, or less of the "
                "network (tune)."
            )
        self.parts = min(2 * self.parts, self.config.batch_size)
        self.optimizer.zero_grad(set_to_none=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self.state is not None and (state := self.state.load()) is not None:
            # The failed step may have moved statistics of normalisation, or half of the weights.
            self._restore(state)

    def _step(self, places: Places, first: int) -> None:
        shares = self.processes.parts(places, self.parts)
        parts = [
            self.task.draw(share, self.epoch, self.place, self.processes.rank * self.parts + number)
            for number, share in enumerate(shares)
        ]
        weights = [self.task.weights(part).to(self.device) for part in parts]
        total = torch.stack([w.sum() for w in weights]).sum()
        total, stop, save = self._agree(total)
        self.optimizer.zero_grad(set_to_none=True)
        # Kept as a tensor until the step is done: reading a number makes a GPU wait.
        value = torch.zeros((), device=self.device)
        for number, (part, weight) in enumerate(zip(parts, weights, strict=True)):
            with self.processes.apart(self.model, last=number == len(parts) - 1):
                with torch.autocast(torch.device(self.device).type, dtype=self.half, enabled=self.half is not None):
                    losses = self.task.losses(self.model, part)
                # The mean over the whole step, however many parts and processes share it (gradients are averaged).
                loss = (losses * weight).sum() / total.clamp_min(1e-6)
                if self.ranks is not None:
                    loss = loss + self.ranks.penalty() / (len(parts) * self.processes.count)
                value += loss.detach()
                self.scaler.scale(loss * self.processes.count).backward()
        self._move()
        self.place += 1
        self.losses.append(float(self.processes.add(value)))
        self.loss = self.losses[-1] if self.loss is None else 0.95 * self.loss + 0.05 * self.losses[-1]
        self._report(first)
        if save or stop:
            self._save()
        if stop:
            raise TrainingCancelledError(f"Training was stopped in epoch {self.epoch} of {self.config.epochs}.")

    def _agree(self, total: torch.Tensor) -> tuple[torch.Tensor, bool, bool]:
        """Find the weight of the whole step, and whether to stop and to save after it, alike in all processes."""
        stop = self.around.should_stop is not None and self.around.should_stop()
        due = self.processes.main and time.monotonic() - self.saved > STATE_SECONDS
        if self.processes.count == 1:
            return total, stop, due
        said = self.processes.add(torch.stack([total, total.new_tensor(float(stop)), total.new_tensor(float(due))]))
        return said[0], bool(said[1] > 0), bool(said[2] > 0)

    def _move(self) -> None:
        self.scaler.unscale_(self.optimizer)
        # The gradient of half the squared distance from the weights before. Apart from the loss, as parameters that no
        # example of a step needs have no gradient that processes could share.
        for parameter, start in zip(self.trained, self.anchor, strict=False):
            pull = self.config.anchor * (parameter.detach() - start)
            parameter.grad = pull if parameter.grad is None else parameter.grad + pull
        torch.nn.utils.clip_grad_norm_(self.trained, self.task.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.step += 1
        if self.ranks is not None:
            self.ranks.update(self.step)

    def _report(self, first: int, entry: Mapping[str, object] | None = None) -> None:
        if self.around.on_progress is None or not self.processes.main:
            return
        pace = (time.monotonic() - self.started) / max(1, self.step - first)
        left = pace * (self.steps - self.step)
        self.around.on_progress(
            TrainProgress(
                self.epoch,
                self.config.epochs,
                self.step,
                self.steps,
                self.loss,
                self.score,
                left,
                epoch_done=entry is not None,
                learning_rate=float(self.schedule.get_last_lr()[0]),
                figures=entry or {},
                parts=self.parts,
            )
        )

    def _identify(self, network: torch.nn.Module) -> RunState:
        assert self.around.state_dir is not None
        identity = {
            "config": asdict(self.config),
            "start": hash_tensors(network.state_dict()),
            **self.task.fingerprint(),
            "processes": self.processes.count,
        }
        return RunState(self.around.state_dir, identity)

    def _save(self) -> None:
        self.saved = time.monotonic()
        if self.state is None:
            return
        states = self.processes.gather(random_states())
        if self.processes.main:
            self.state.save(
                {name: getattr(self, name) for name in KEPT_VALUES}
                | {name: getattr(self, name).state_dict() for name in KEPT_OBJECTS}
                | {"network": self._weights(), "best_weights": self.best_weights, "random": states}
                | {"ranks": None if self.ranks is None else self.ranks.state()}
            )

    def _restore(self, state: Mapping[str, Any]) -> None:
        # Parts that a failed step has just halved stay so.
        parts = self.parts
        for name in KEPT_VALUES:
            setattr(self, name, state[name])
        self.parts = max(self.parts, parts)
        for name in KEPT_OBJECTS:
            getattr(self, name).load_state_dict(state[name])
        self.network.load_state_dict(state["network"], strict=False)
        self.best_weights = {name: value.to(self.device) for name, value in state["best_weights"].items()}
        if self.ranks is not None:
            self.ranks.set_state(state["ranks"], self.device)
        set_random_states(state["random"][self.processes.rank])


def linear(step: int, steps: int, warmup: int) -> float:
    """Rise linearly to 1 and fall linearly to 0, as pretrained networks are usually tuned.

    >>> [linear(step, 6, 2) for step in (0, 1, 2, 4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    return (step + 1) / warmup if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))


def half_precision(device: str) -> torch.dtype | None:
    """Choose a type quicker than float32: bfloat16, float16 on GPUs without it, None on CPUs without it."""
    if torch.device(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    quick = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if quick else None


def decay_groups(parameters: Sequence[torch.nn.Parameter], weight_decay: float) -> list[dict[str, object]]:
    """Group parameters so that biases and norms are not decayed."""
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Use so many of torch's threads for a while; None leaves them as they are."""
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
