"""The loop that trains any text network: batches by length, drawn forms, half precision, the best epoch.

Which network it is, and what its files look like, is the caller's.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ser.errors import TrainingCancelledError
from ser.evaluation.metrics import macro_f1
from ser.labels import EMOTIONS
from ser.text.adversarial import Perturbation
from ser.text.config import TextTrainConfig
from ser.text.data import as_transcript
from ser.text.network import pad
from ser.text.noise import RecogniserNoise
from ser.text.rows import Array, DevPart, TrainingRows

EVALUATION_BATCH = 256


class TrainableText(Protocol):
    """A text network to be trained.

    Attributes:
        module: holds its parameters; those that need a gradient are trained.
        tokenizer: of transformers.
        embeddings: the module whose output are the tokens' vectors.
    """

    module: torch.nn.Module
    tokenizer: Any
    embeddings: torch.nn.Module

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits of the seven emotions, and of finer labels if there is a head for them."""
        ...

    def snapshot(self) -> Mapping[str, Any]:
        """Copy what training changes."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put a snapshot back."""
        ...

    def after_step(self, step: int) -> None:
        """Do what the method needs after each step, from 1, while its gradients are there."""
        ...


@dataclass(frozen=True)
class TextProgress:
    """How far training has come.

    Attributes:
        epoch: from 1; the running one.
        step: steps done, of `steps` in all.
        loss: mean over the last steps.
        dev_macro_f1: after each epoch; None in between.
        elapsed: seconds since the first step; `eta` seconds to the end.
        learning_rate: of the next step.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    dev_macro_f1: float | None
    elapsed: float
    eta: float
    learning_rate: float = 0.0


class TextLoop:
    """One training run.

    Args:
        model: the network.
        rows: to train on.
        dev: to choose the epoch by.
        config: how; with a learning rate.
        seed: of everything drawn.
        device: `cpu` or `cuda`.
    """

    def __init__(
        self,
        model: TrainableText,
        rows: TrainingRows,
        dev: Sequence[DevPart],
        config: TextTrainConfig,
        seed: int,
        device: str,
    ) -> None:
        self.model, self.rows, self.config, self.device = model, rows, config, torch.device(device)
        self.rng, self.words = np.random.default_rng(seed), random.Random(seed)
        self.on_progress: Callable[[TextProgress], None] = lambda progress: None
        self.should_stop: Callable[[], bool] = lambda: False
        self.noise = RecogniserNoise(rows.texts)
        self.dev = [(part.truth, [self._ids(form) for form in part.forms]) for part in dev]
        model.module.to(self.device)
        self.parameters = [p for p in model.module.parameters() if p.requires_grad]
        self.perturbation = Perturbation(model.embeddings, config.adversarial)

    def train(self) -> list[list[Array]]:
        """Train to the end and leave the network at its best epoch.

        Returns:
            For each dev part the best epoch's logits of the rows as written and as transcripts.

        Raises:
            TrainingCancelledError: if `should_stop` said so.
        """
        config = self.config
        steps = math.ceil(len(self.rows.texts) / config.batch_size) * config.epochs
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=config.learning_rate or 0.0, weight_decay=config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: _slope(step, steps, config.warmup))
        best: tuple[float, Mapping[str, Any], list[list[Array]]] = (-1.0, {}, [])
        losses: list[float] = []
        step, started = 0, time.monotonic()

        def report(epoch: int, score: float | None) -> None:
            elapsed = time.monotonic() - started
            mean, rate = float(np.mean(losses[-20:])), float(schedule.get_last_lr()[0])
            eta = elapsed / step * (steps - step)
            self.on_progress(TextProgress(epoch, step, steps, mean, score, elapsed, eta, rate))

        for epoch in range(1, config.epochs + 1):
            self.model.module.train()
            for places, ids in self._batches():
                losses.append(self._step(places, ids))
                schedule.step()
                step += 1
                self.model.after_step(step)
                if self.should_stop():
                    raise TrainingCancelledError("Training of the text model was cancelled; nothing was written.")
                if step % 20 == 0:
                    report(epoch, None)
            logits = [[self.logits(ids) for ids in forms] for _, forms in self.dev]
            score = float(
                np.mean([_macro_f1(x, truth) for (truth, _), xs in zip(self.dev, logits, strict=True) for x in xs])
            )
            report(epoch, score)
            if score > best[0]:
                best = score, self.model.snapshot(), logits
        self.model.restore(best[1])
        return best[2]

    @torch.inference_mode()
    def logits(self, ids: list[list[int]]) -> Array:
        """Logits of token rows, shape (rows, 7), without dropout."""
        self.model.module.eval()
        order = np.argsort([len(row) for row in ids])
        out = np.zeros((len(ids), len(EMOTIONS)), dtype=np.float32)
        for first in range(0, len(order), EVALUATION_BATCH):
            places = order[first : first + EVALUATION_BATCH]
            tokens, mask = pad([ids[place] for place in places], self.model.tokenizer.pad_token_id)
            with self._half():
                values, _ = self.model.forward(tokens.to(self.device), mask.to(self.device))
            out[places] = values.float().cpu().numpy()
        return out

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        length = self.config.max_tokens
        rows: list[list[int]] = self.model.tokenizer(list(texts), truncation=True, max_length=length)["input_ids"]
        return rows

    def _batches(self) -> Iterator[tuple[npt.NDArray[np.int64], list[list[int]]]]:
        """Rows of similar length together, in random order and form, so that little time goes into padding."""
        ids = self._ids([self._drawn_form(text) for text in self.rows.texts])
        lengths = np.array([len(row) for row in ids]) + self.rng.uniform(0, 3, len(ids))
        batches = np.array_split(np.argsort(lengths), math.ceil(len(ids) / self.config.batch_size))
        for index in self.rng.permutation(len(batches)):
            yield batches[index], [ids[row] for row in batches[index]]

    def _drawn_form(self, text: str) -> str:
        drawn = self.words.random()
        if drawn < self.config.noise_share:
            return self.noise(text, self.words.uniform(0.0, self.config.noise_rate), self.words)
        return as_transcript(text) if drawn < self.config.noise_share + self.config.transcript_share else text

    def _step(self, places: npt.NDArray[np.int64], tokens: list[list[int]]) -> float:
        ids, mask = (t.to(self.device) for t in pad(tokens, self.model.tokenizer.pad_token_id, multiple=4))
        self.optimizer.zero_grad()
        with self.perturbation.watching():
            loss = self._loss(ids, mask, places)
            loss.backward()
        if self.perturbation.size > 0:
            with self.perturbation.moved():
                self._loss(ids, mask, places).backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        return float(loss.detach())

    def _loss(self, ids: Tensor, mask: Tensor, places: npt.NDArray[np.int64]) -> Tensor:
        with self._half():
            logits, fine = self.model.forward(ids, mask)
        rows = self.rows
        loss = self._weighted(logits, rows.targets[places], rows.weights[places])
        if fine is not None and rows.fine_weights[places].any():
            part = self._weighted(fine, rows.fine_targets[places], rows.fine_weights[places])
            loss = loss + self.config.fine_weight * part
        return loss

    def _weighted(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        each = torch.nn.functional.cross_entropy(
            logits.float(), targets.to(self.device), reduction="none", label_smoothing=self.config.label_smoothing
        )
        return (each * weights.to(self.device)).mean()

    def _half(self) -> Any:
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.config.autocast else nullcontext()


def _slope(step: int, steps: int, warmup: float) -> float:
    rising = max(1, round(steps * warmup))
    return (step + 1) / rising if step < rising else max(0.0, (steps - step) / max(1, steps - rising))


def _macro_f1(logits: Array, truth: npt.NDArray[np.int64]) -> float:
    return macro_f1([EMOTIONS[i] for i in truth], [EMOTIONS[i] for i in logits.argmax(1)], EMOTIONS)
