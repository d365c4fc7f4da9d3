"""Training of a text model on labelled sentences: the embedded one by LoRA, or any pretrained language model.

Writes a folder that `ser.text.classifier.load_text_model` reads. Sentences only, no speech.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate.utils import set_seed
from peft.utils import ModulesToSaveWrapper
from scipy.optimize import minimize
from scipy.special import softmax

from ser.config import EMBEDDED
from ser.errors import ModelUnavailableError, SettingsError
from ser.evaluation.metrics import TEMPERATURE_RANGE, ece, fit_temperature, macro_f1, uar
from ser.labels import EMOTIONS
from ser.text.config import TextTrainConfig
from ser.text.embedded import TrainedText, text_meta
from ser.text.foreign import PROMPT_FOLDER
from ser.text.network import EmbeddedNetwork, PretrainedNetwork
from ser.text.task import Array, DevPart, TextPart, TextTask, TrainingRows
from ser.training.gradients.adapters import is_prompted, merge_adapters
from ser.training.gradients.engine import optimise
from ser.training.gradients.task import Surroundings

RECORD_FILE = "training.json"
"""Recipe, data and figures, in the folder of a fine-tuned language model."""

EMBEDDED_RATE = 1e-3
LEARNING_RATES = {
    "full": 3e-5,
    "top-k": 5e-5,
    "frozen": 1e-3,
    "head": 1e-3,
    "lora": 5e-4,
    "adalora": 1e-3,
    "ia3": 5e-3,
    "prefix": 1e-2,
    "prompt": 1e-2,
}
"""Usual peaks; the fewer weights are trained, the larger. Sources: Devlin et al. 2019 (BERT, appendix A.3) for all
weights, and the examples of `peft` for its methods."""

PRIOR = 1e-3
"""Pull of each label's bias towards 0, in nats: a label without held-out rows keeps its own."""


@dataclass(frozen=True)
class _Trained:
    """A network at its best epoch: the calibration fitted on held-out rows, and the facts of its training."""

    config: TextTrainConfig
    temperature: float
    bias: npt.NDArray[np.float64]
    data: dict[str, object]
    metrics: dict[str, float]


def train_text_model(
    train: Sequence[TextPart],
    dev: Sequence[TextPart],
    out: Path,
    *,
    around: Surroundings,
    init: str | Path = EMBEDDED,
    config: TextTrainConfig | None = None,
) -> dict[str, float]:
    """Train on sentences, keep the best epoch, fit temperature and label biases, and write the folder `out`.

    Args:
        train: sentences of several kinds; classes are balanced within each.
        dev: held-out sentences; each part counts the same in the choice of the epoch and in the calibration.
        out: the new folder.
        around: of the run.
        init: `embedded`, or a folder or an id on the hub of a model that transformers can classify sequences with.
        config: the recipe; the shipped one by default.

    Returns:
        Figures on the held-out rows by name.

    Raises:
        SettingsError: if the method does not suit the model.
        TrainingDataError: if a dev part has no row with a single label.
        TrainingCancelledError: if asked to stop; nothing is written then.
        ModelUnavailableError: if the model is absent or damaged, or `out` holds something already.
    """
    config = config or TextTrainConfig()
    if out.exists() and any(out.iterdir()):
        raise ModelUnavailableError(f"{out} exists already. Name a new folder, or remove it first.")
    if str(init) == EMBEDDED:
        adapter = train_adapter(train, dev, around, config)
        adapter.save(out)
        return dict(adapter.meta.metrics)  # type: ignore[arg-type]
    return _train_pretrained(train, dev, out, around, init, config)


def train_adapter(
    train: Sequence[TextPart], dev: Sequence[TextPart], around: Surroundings, config: TextTrainConfig
) -> TrainedText:
    """Train an adapter on the embedded sentence encoder; arguments and errors as `train_text_model`."""
    if config.tune != "lora":
        raise SettingsError(
            f"tune is '{config.tune}'; the embedded text model is trained by 'lora' only, so that what ships stays "
            "small. Name a checkpoint by --init for the other methods."
        )
    config = replace(config, learning_rate=config.learning_rate or EMBEDDED_RATE)
    rows = TrainingRows(train, config)
    set_seed(config.seed)
    network = EmbeddedNetwork(config.lora_rank, config.dropout, len(rows.fine_labels))
    trained = _train(network, train, rows, dev, around, config)
    tensors = network.tensors()
    # The head's answers are divided by the temperature, so the bias that is added to them is multiplied by it.
    tensors["head.bias"] = (tensors["head.bias"] + trained.temperature * trained.bias).astype(np.float32)
    meta = text_meta(asdict(config), config.lora_rank, trained.temperature, data=trained.data, metrics=trained.metrics)
    return TrainedText(tensors, meta)


def _train_pretrained(
    train: Sequence[TextPart],
    dev: Sequence[TextPart],
    out: Path,
    around: Surroundings,
    init: str | Path,
    config: TextTrainConfig,
) -> dict[str, float]:
    config = replace(config, learning_rate=config.learning_rate or LEARNING_RATES[config.tune.partition(":")[0]])
    rows = TrainingRows(train, config)
    set_seed(config.seed)
    network: Any = PretrainedNetwork(init, config, math.ceil(len(rows.texts) / config.batch_size) * config.epochs)
    trained = _train(network, train, rows, dev, around, config)
    model = network.cpu().eval().model
    prompt = model if is_prompted(model) else None
    model = model.get_base_model() if prompt is not None else merge_adapters(model)
    # The temperature, and the label biases if the head has any, go into the last linear layer.
    head = _last_linear(model)
    with torch.no_grad():
        head.weight /= trained.temperature
        if head.bias is not None:
            head.bias.copy_(head.bias / trained.temperature + torch.from_numpy(trained.bias).to(head.bias.dtype))
    if prompt is not None:
        prompt.save_pretrained(out / PROMPT_FOLDER)
        # The trained head in place of the wrapper that `peft` keeps it in.
        for name, child in list(model.named_children()):
            if isinstance(child, ModulesToSaveWrapper):
                setattr(model, name, child.modules_to_save[child.active_adapter])
    model.save_pretrained(out)
    network.tokenizer.save_pretrained(out)
    record = {"start": str(init), "config": asdict(config), "data": trained.data, "metrics": trained.metrics}
    (out / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return trained.metrics


def _train(
    network: Any,
    train: Sequence[TextPart],
    rows: TrainingRows,
    dev: Sequence[TextPart],
    around: Surroundings,
    config: TextTrainConfig,
) -> _Trained:
    held_out = [DevPart(part) for part in dev]
    task = TextTask(network, rows, held_out, config, around.processes.device)
    optimise(network, task, config, around)
    logits = task.dev_logits(network)
    temperature, bias = calibrate(held_out, logits, biased=_last_linear(network).bias is not None)
    counts: dict[str, int] = {}
    for part, count in zip(train, rows.counts, strict=True):
        counts[part.name] = counts.get(part.name, 0) + count
    data: dict[str, object] = {"train": counts, "dev": {part.name: len(part.truth) for part in held_out}}
    metrics = dev_metrics(held_out, [[form / temperature + bias for form in forms] for forms in logits])
    return _Trained(config, temperature, bias, data, metrics)


def _last_linear(network: torch.nn.Module) -> torch.nn.Linear:
    return [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]


def calibrate(
    dev: Sequence[DevPart], logits: Sequence[Sequence[Array]], *, biased: bool
) -> tuple[float, npt.NDArray[np.float64]]:
    """Fit temperature and, if `biased`, label biases on both forms of the held-out rows, all parts counting alike."""
    rows = np.concatenate([form for forms in logits for form in forms])
    truth = np.concatenate([np.tile(part.truth, 2) for part in dev])
    if not biased:
        return fit_temperature(rows, np.eye(len(EMOTIONS))[truth]), np.zeros(len(EMOTIONS))
    shares = np.concatenate([np.tile(part.weights / part.weights.sum(), 2) for part in dev])
    return fit_bias(rows, truth, shares)


def fit_bias(
    logits: npt.NDArray[np.floating], truth: npt.NDArray[np.int64], weights: npt.NDArray[np.floating]
) -> tuple[float, npt.NDArray[np.float64]]:
    """Fit `logits / temperature + bias` to the truth by least cross entropy.

    Training weighs rare labels up; the biases bring the answers back to the shares that labels have in real text.
    Source: bias-corrected temperature scaling, Alexandari et al. 2020, https://arxiv.org/abs/1901.06852

    Args:
        logits: shape (rows, labels).
        truth: index of the label of each row.
        weights: of the rows, relative.

    Returns:
        The temperature, within `TEMPERATURE_RANGE`, and the biases, of mean 0.

    >>> rng = np.random.default_rng(0)
    >>> truth = (rng.random(4000) < 0.2).astype(int)
    >>> temperature, bias = fit_bias(rng.normal(0, 0.01, (4000, 2)), truth, np.ones(4000))
    >>> round(float(np.exp(bias[1] - bias[0])), 1)  # the odds of the rare label
    0.3
    """
    shares = weights / weights.sum()
    values = logits.astype(np.float64)
    rows, columns = np.arange(len(values)), values.shape[1]
    hot = np.zeros_like(values)
    hot[rows, truth] = 1.0

    def loss(parameters: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        inverse, bias = np.exp(-parameters[0]), parameters[1:]
        scaled = values * inverse + bias
        scaled -= scaled.max(1, keepdims=True)
        powers = np.exp(scaled)
        total = powers.sum(1, keepdims=True)
        cost = float(shares @ (np.log(total[:, 0]) - scaled[rows, truth])) + PRIOR * float(bias @ bias)
        error = (powers / total - hot) * shares[:, None]
        slope = np.concatenate([[-inverse * float((error * values).sum())], error.sum(0) + 2 * PRIOR * bias])
        return cost, slope

    low, high = np.log(TEMPERATURE_RANGE)
    bounds = [(low, high), *[(-6.0, 6.0)] * columns]
    found = minimize(loss, np.zeros(1 + columns), jac=True, method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[0])), found.x[1:] - found.x[1:].mean()


def dev_metrics(dev: Sequence[DevPart], logits: Sequence[Sequence[npt.NDArray[np.floating]]]) -> dict[str, float]:
    """Measure macro-F1, UAR and calibration error of calibrated logits, by form, and by part if there are several."""
    return {
        f"dev_{part.name}_{name}_{form}" if len(dev) > 1 else f"dev_{name}_{form}": value
        for part, forms in zip(dev, logits, strict=True)
        for form, values in zip(("written", "transcript"), forms, strict=True)
        for name, value in _metrics(values, part.truth).items()
    }


def _metrics(logits: npt.NDArray[np.floating], truth: npt.NDArray[np.int64]) -> dict[str, float]:
    names, answers = [EMOTIONS[i] for i in truth], [EMOTIONS[i] for i in logits.argmax(1)]
    return {
        "macro_f1": round(macro_f1(names, answers, EMOTIONS), 4),
        "uar": round(uar(names, answers, EMOTIONS), 4),
        "ece": round(ece(softmax(logits, axis=1), names, EMOTIONS), 4),
    }
