"""Training of the embedded text model: LoRA and head on labelled sentences, chosen and calibrated on held-out ones.

Writes a folder that `ser.text.classifier.load_text_model` reads. Knows nothing of speech.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from ser.calibration import ece, fit_temperature
from ser.errors import SettingsError, TrainingCancelledError, TrainingDataError
from ser.labels import EMOTIONS
from ser.metrics import macro_f1, uar
from ser.text.base import load_base
from ser.text.checkpoint import save_trained
from ser.text.data import LabelledTexts, as_transcript, read_labelled_texts
from ser.text.network import TextEmotionNetwork, add_adapter, pad, set_trained_tensors, trained_tensors

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class TextTrainConfig:
    """How the text model is trained; the defaults made the shipped weights.

    Attributes:
        rank: of the low-rank update of each linear layer.
        alpha: the update is scaled by alpha / rank.
        dropout: before the head. There is none inside the encoder, where drawing the masks would cost a third of
            the time.
        learning_rate: peak, reached after `warmup` and then falling linearly to 0.
        warmup: share of all steps.
        weight_decay: AdamW's, on adapter and head.
        epochs: passes over the training rows.
        batch_size: rows a step.
        max_tokens: longer texts are cut.
        class_balance: 0 weighs every row alike, 1 every class alike; a row weighs its class's rarity to this power.
        label_smoothing: mass moved from the truth to all classes.
        transcript_share: share of training rows shown without case and punctuation, as transcripts are.
        multi_label: also learn from rows with several emotions, as soft labels.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.1
    learning_rate: float = 1e-3
    warmup: float = 0.06
    weight_decay: float = 0.01
    epochs: int = 2
    batch_size: int = 64
    max_tokens: int = 64
    class_balance: float = 0.5
    label_smoothing: float = 0.0
    transcript_share: float = 0.5
    multi_label: bool = True

    def __post_init__(self) -> None:
        for name in ("rank", "alpha", "learning_rate", "epochs", "batch_size", "max_tokens"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be above 0.")
        for name in ("dropout", "warmup", "class_balance", "label_smoothing", "transcript_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must lie in 0..1.")


@dataclass(frozen=True)
class TextProgress:
    """How far training has come.

    Attributes:
        epoch: from 1; the running one.
        step: steps done, of `steps` in all.
        loss: mean over the last steps.
        dev_macro_f1: after each epoch; None in between.
        elapsed: seconds since the first step; `eta` seconds to the end.
    """

    epoch: int
    step: int
    steps: int
    loss: float
    dev_macro_f1: float | None
    elapsed: float
    eta: float


@dataclass(frozen=True)
class TextTrainingResult:
    """What training made: the folder, the softmax temperature and the figures on the held-out rows."""

    folder: Path
    temperature: float
    metrics: dict[str, float] = field(default_factory=dict)


def train_text_model(
    train_csv: Path,
    dev_csv: Path,
    out: Path,
    *,
    config: TextTrainConfig | None = None,
    seed: int = 0,
    on_progress: Callable[[TextProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TextTrainingResult:
    """Train the adapter and head, keep the best epoch, fit the temperature, and write the folder `out`.

    Args:
        train_csv: columns `text` and `label` or `labels`.
        dev_csv: the same; chooses the epoch and the temperature by its rows with a single label.
        out: folder for `adapter.safetensors` and `meta.json`; made where absent.
        config: the recipe; the shipped one where left out.
        seed: of everything random.
        on_progress: called every few steps and after each epoch.
        should_stop: asked after every step; True ends the training without writing anything.

    Raises:
        TrainingDataError: where a file is malformed.
        TrainingCancelledError: where `should_stop` said so.
        ModelUnavailableError: where the sentence encoder is absent.
    """
    config = config or TextTrainConfig()
    train, dev = read_labelled_texts(Path(train_csv)), read_labelled_texts(Path(dev_csv))
    if not dev.single.any():
        raise TrainingDataError(f"{dev_csv} has no row with a single label; such rows choose the best epoch.")
    torch.manual_seed(seed)
    run = _Run(config, train, dev, np.random.default_rng(seed), on_progress, should_stop)
    logits, truth = run.train()
    temperature = fit_temperature(
        np.concatenate(logits), np.eye(len(EMOTIONS), dtype=np.float32)[np.concatenate([truth, truth])]
    )
    metrics = _metrics(logits, truth, temperature)
    data = {"train": Path(train_csv).name, "train_rows": run.rows, "dev": Path(dev_csv).name, "dev_rows": len(truth)}
    save_trained(
        Path(out), trained_tensors(run.network), config=asdict(config), temperature=temperature, seed=seed,
        data=data, metrics=metrics, created=time.time(),
    )  # fmt: skip
    return TextTrainingResult(Path(out), temperature, metrics)


class _Run:
    """One training run: the network, its data as token ids, and the loop."""

    def __init__(
        self,
        config: TextTrainConfig,
        train: LabelledTexts,
        dev: LabelledTexts,
        rng: np.random.Generator,
        on_progress: Callable[[TextProgress], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self.config, self.rng = config, rng
        self.on_progress = on_progress or (lambda progress: None)
        self.should_stop = should_stop or (lambda: False)
        encoder, tokenizer = load_base(attention="eager")
        self.pad_id = tokenizer.pad_token_id
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = TextEmotionNetwork(encoder, encoder.config.hidden_size, config.dropout)
        add_adapter(self.network, rank=config.rank, alpha=config.alpha)
        for module in self.network.encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        self.network.to(self.device)
        self._read(train, dev, tokenizer)

    def _read(self, train: LabelledTexts, dev: LabelledTexts, tokenizer: PreTrainedTokenizerBase) -> None:
        def ids(texts: list[str]) -> list[list[int]]:
            return tokenizer(texts, truncation=True, max_length=self.config.max_tokens, padding=False)["input_ids"]

        chosen = np.ones(len(train), dtype=bool) if self.config.multi_label else train.single
        texts = [text for text, keep in zip(train.texts, chosen, strict=True) if keep]
        self.raw, self.spoken = ids(texts), ids([as_transcript(text) for text in texts])
        targets = train.soft_labels[chosen]
        frequency = targets.mean(0)
        rarity = np.where(frequency > 0, frequency, 1.0) ** -self.config.class_balance
        weights = targets @ (rarity / (frequency * rarity).sum())
        self.targets, self.weights = torch.from_numpy(targets), torch.from_numpy(weights.astype(np.float32))
        self.rows = len(texts)
        held_out = [text for text, keep in zip(dev.texts, dev.single, strict=True) if keep]
        self.dev = [ids(held_out), ids([as_transcript(text) for text in held_out])]
        self.dev_truth = dev.soft_labels[dev.single].argmax(1)

    def train(self) -> tuple[list[npt.NDArray[np.float32]], npt.NDArray[np.int64]]:
        """Train to the end and leave the network at its best epoch.

        Returns:
            The best epoch's logits on the held-out rows as written and as transcripts, and the truth.
        """
        config, parameters = self.config, [p for p in self.network.parameters() if p.requires_grad]
        per_epoch = math.ceil(self.rows / config.batch_size)
        steps = per_epoch * config.epochs
        optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _slope(step, steps, config.warmup))
        best_score, best_tensors, best_logits = -1.0, {}, []
        step, losses, started = 0, [], time.monotonic()
        for epoch in range(1, config.epochs + 1):
            self.network.train()
            for rows in self._batches():
                losses.append(self._step(rows, optimizer, parameters))
                schedule.step()
                step += 1
                if self.should_stop():
                    raise TrainingCancelledError("Training of the text model was cancelled; nothing was written.")
                if step % 20 == 0:
                    self._report(epoch, step, steps, losses, None, started)
            logits = [self._logits(ids) for ids in self.dev]
            score = float(np.mean([_macro_f1(rows, self.dev_truth) for rows in logits]))
            self._report(epoch, step, steps, losses, score, started)
            if score > best_score:
                best_score, best_tensors, best_logits = score, trained_tensors(self.network), logits
        set_trained_tensors(self.network, best_tensors)
        return best_logits, self.dev_truth

    def _batches(self) -> Iterator[npt.NDArray[np.int64]]:
        """Rows of similar length together, in random order, so that little time goes into padding."""
        lengths = np.array([len(row) for row in self.raw]) + self.rng.uniform(0, 3, self.rows)
        order = np.argsort(lengths)
        batches = np.array_split(order, math.ceil(self.rows / self.config.batch_size))
        for index in self.rng.permutation(len(batches)):
            yield batches[index]

    def _step(
        self, rows: npt.NDArray[np.int64], optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter]
    ) -> float:
        spoken = self.rng.random(len(rows)) < self.config.transcript_share
        texts = [(self.spoken if heard else self.raw)[row] for row, heard in zip(rows, spoken, strict=True)]
        ids, mask = pad(texts, self.pad_id, multiple=4)
        targets, weights = self.targets[rows].to(self.device), self.weights[rows].to(self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16):
            logits = self.network(ids.to(self.device), mask.to(self.device))
        each = torch.nn.functional.cross_entropy(
            logits, targets, reduction="none", label_smoothing=self.config.label_smoothing
        )
        loss = (each * weights).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return float(loss.detach())

    @torch.inference_mode()
    def _logits(self, ids: list[list[int]]) -> npt.NDArray[np.float32]:
        self.network.eval()
        order = np.argsort([len(row) for row in ids])
        out = np.zeros((len(ids), len(EMOTIONS)), dtype=np.float32)
        for first in range(0, len(order), EVALUATION_BATCH):
            rows = order[first : first + EVALUATION_BATCH]
            tokens, mask = pad([ids[r] for r in rows], self.pad_id)
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                out[rows] = self.network(tokens.to(self.device), mask.to(self.device)).cpu().numpy()
        return out

    def _report(
        self, epoch: int, step: int, steps: int, losses: list[float], score: float | None, started: float
    ) -> None:
        elapsed = time.monotonic() - started
        eta = elapsed / step * (steps - step)
        self.on_progress(TextProgress(epoch, step, steps, float(np.mean(losses[-20:])), score, elapsed, eta))


def _slope(step: int, steps: int, warmup: float) -> float:
    rising = max(1, round(steps * warmup))
    return (step + 1) / rising if step < rising else max(0.0, (steps - step) / max(1, steps - rising))


def _macro_f1(logits: npt.NDArray[np.float32], truth: npt.NDArray[np.int64]) -> float:
    return macro_f1([EMOTIONS[i] for i in truth], [EMOTIONS[i] for i in logits.argmax(1)], EMOTIONS)


def _metrics(
    logits: list[npt.NDArray[np.float32]], truth: npt.NDArray[np.int64], temperature: float
) -> dict[str, float]:
    names = [EMOTIONS[i] for i in truth]
    metrics: dict[str, float] = {}
    for form, rows in zip(("written", "transcript"), logits, strict=True):
        answers = [EMOTIONS[i] for i in rows.argmax(1)]
        powers = np.exp((rows - rows.max(1, keepdims=True)) / temperature)
        metrics[f"dev_macro_f1_{form}"] = round(macro_f1(names, answers, EMOTIONS), 4)
        metrics[f"dev_uar_{form}"] = round(uar(names, answers, EMOTIONS), 4)
        metrics[f"dev_ece_{form}"] = round(ece(powers / powers.sum(1, keepdims=True), names, EMOTIONS), 4)
    return metrics
