"""Training of the embedded text model: LoRA and head on labelled sentences, chosen and calibrated on held-out ones.

Writes a folder that `ser.text.classifier.load_text_model` reads. Sentences only, no speech.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ser.errors import SettingsError
from ser.evaluation.calibration import ece
from ser.evaluation.metrics import macro_f1, uar
from ser.labels import EMOTIONS
from ser.text.bias import fit_bias
from ser.text.checkpoint import save_trained
from ser.text.config import TextTrainConfig
from ser.text.data import read_labelled_texts
from ser.text.loop import TextLoop, TextProgress
from ser.text.network import TextEmotionNetwork, add_adapter, load_base, set_trained_tensors, trained_tensors
from ser.text.rows import Array, DevPart, TextPart, TrainingRows

LEARNING_RATE = 1e-3
"""Of LoRA and head, if the config names none."""


@dataclass(frozen=True)
class TextTrainingResult:
    """The folder, the softmax temperature and the figures on the held-out rows."""

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
    device: str = "cpu",
    on_progress: Callable[[TextProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TextTrainingResult:
    """Train on one CSV and choose the epoch on another; see `train_on_parts`.

    Args:
        train_csv: columns `text` and `label` or `labels`.
        dev_csv: the same; its rows with a single label count.
        out: folder for `adapter.safetensors` and `meta.json`; made if absent.
        config: the recipe; the shipped one by default.
        seed: of everything random.
        device: `cpu` or `cuda`.
        on_progress: called every few steps and after each epoch.
        should_stop: asked after every step; True ends the training without writing anything.

    Raises:
        TrainingDataError: if a file is malformed, or the dev file has no row with a single label.
        TrainingCancelledError: if `should_stop` said so.
        ModelUnavailableError: if the sentence encoder is absent.
    """
    train, dev = (TextPart(Path(csv).name, read_labelled_texts(Path(csv))) for csv in (train_csv, dev_csv))
    return train_on_parts(
        [train], [dev], out, config=config, seed=seed, device=device, on_progress=on_progress, should_stop=should_stop
    )


def train_on_parts(
    train: Sequence[TextPart],
    dev: Sequence[TextPart],
    out: Path,
    *,
    config: TextTrainConfig | None = None,
    seed: int = 0,
    device: str = "cpu",
    on_progress: Callable[[TextProgress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TextTrainingResult:
    """Train the adapter and head, keep the best epoch, fit temperature and label biases, and write the folder `out`.

    Args:
        train: sentences of several kinds; classes are balanced within each.
        dev: held-out sentences; each part counts the same in the choice of the epoch and in the calibration.
        out: folder for `adapter.safetensors` and `meta.json`; made if absent.
        config: as in `train_text_model`, like all that follows.
        seed: of everything random.
        device: `cpu` or `cuda`.
        on_progress: called every few steps and after each epoch.
        should_stop: asked after every step.

    Raises:
        SettingsError: if the config asks for more of the encoder than LoRA.
        TrainingDataError: if a dev part has no row with a single label.
        TrainingCancelledError: if `should_stop` said so.
        ModelUnavailableError: if the sentence encoder is absent.
    """
    config = config or TextTrainConfig()
    config = replace(config, learning_rate=config.learning_rate or LEARNING_RATE)
    if config.tune != "lora":
        raise SettingsError(
            f"tune is '{config.tune}'; the embedded text model is trained by 'lora' only, so that what ships stays "
            "small. Name a checkpoint by --init for the other methods."
        )
    held_out = [DevPart(part) for part in dev]
    torch.manual_seed(seed)
    rows = TrainingRows(train, config)
    model = _Embedded(config, len(rows.fine_labels))
    loop = TextLoop(model, rows, held_out, config, seed, device)
    loop.on_progress, loop.should_stop = on_progress or loop.on_progress, should_stop or loop.should_stop
    logits = loop.train()
    temperature, bias = calibrate(held_out, logits)
    tensors = trained_tensors(model.network)
    # The head's answers are divided by the temperature, so the bias that is added to them is multiplied by it.
    tensors["head.bias"] = (tensors["head.bias"] + temperature * bias).astype(np.float32)
    metrics = dev_metrics(held_out, [[form / temperature + bias for form in forms] for forms in logits])
    save_trained(
        Path(out), tensors, config=asdict(config), temperature=temperature, seed=seed,
        data=data_facts(train, rows, held_out), metrics=metrics, created=time.time(),
    )  # fmt: skip
    return TextTrainingResult(Path(out), temperature, metrics)


class _Embedded:
    """The embedded network with an auxiliary head on finer labels; see `ser.text.loop.TrainableText`."""

    def __init__(self, config: TextTrainConfig, fine_labels: int) -> None:
        encoder, self.tokenizer = load_base(attention="eager")
        self.network = TextEmotionNetwork(encoder, encoder.config.hidden_size, config.dropout)
        add_adapter(self.network, rank=config.rank, alpha=config.alpha)
        for module in self.network.encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        self.embeddings: torch.nn.Module = encoder.embeddings
        self.fine = torch.nn.Linear(encoder.config.hidden_size, fine_labels) if fine_labels else None
        self.module: torch.nn.Module = torch.nn.ModuleList([self.network, *([self.fine] if self.fine else [])])

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor | None]:
        pooled = self.network.dropout(self.network.pooled(ids, mask))
        return self.network.head(pooled), self.fine(pooled) if self.fine else None

    def snapshot(self) -> Mapping[str, np.ndarray]:
        return trained_tensors(self.network)

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        set_trained_tensors(self.network, state)

    def after_step(self, step: int) -> None:
        """LoRA needs nothing."""


def calibrate(dev: Sequence[DevPart], logits: Sequence[Sequence[Array]]) -> tuple[float, npt.NDArray[np.float64]]:
    """Fit temperature and label biases on both forms of the held-out rows, each part counting the same."""
    rows = np.concatenate([form for forms in logits for form in forms])
    truth = np.concatenate([np.tile(part.truth, 2) for part in dev])
    shares = np.concatenate([np.tile(part.weights / part.weights.sum(), 2) for part in dev])
    return fit_bias(rows, truth, shares)


def dev_metrics(dev: Sequence[DevPart], logits: Sequence[Sequence[npt.NDArray[np.floating]]]) -> dict[str, float]:
    """Macro-F1, UAR and calibration error of calibrated logits, by form, and by part if there are several."""
    return {
        f"dev_{part.name}_{name}_{form}" if len(dev) > 1 else f"dev_{name}_{form}": value
        for part, forms in zip(dev, logits, strict=True)
        for form, values in zip(("written", "transcript"), forms, strict=True)
        for name, value in _metrics(values, part.truth).items()
    }


def data_facts(train: Sequence[TextPart], rows: TrainingRows, dev: Sequence[DevPart]) -> dict[str, object]:
    """Rows of each part, for the meta file; a part that was given twice counts twice."""
    counts: dict[str, int] = {}
    for part, count in zip(train, rows.counts, strict=True):
        counts[part.name] = counts.get(part.name, 0) + count
    return {"train": counts, "dev": {part.name: len(part.truth) for part in dev}}


def _metrics(logits: npt.NDArray[np.floating], truth: npt.NDArray[np.int64]) -> dict[str, float]:
    names, answers = [EMOTIONS[i] for i in truth], [EMOTIONS[i] for i in logits.argmax(1)]
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return {
        "macro_f1": round(macro_f1(names, answers, EMOTIONS), 4),
        "uar": round(uar(names, answers, EMOTIONS), 4),
        "ece": round(ece(powers / powers.sum(1, keepdims=True), names, EMOTIONS), 4),
    }
