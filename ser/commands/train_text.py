"""The text half of `python -m ser train`: labelled sentences to a text model's folder."""

import argparse
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from ser.checkpoints.hub import pick_device
from ser.commands.train import open_logs
from ser.commands.training_changes import training_changes
from ser.config import EMBEDDED, Settings
from ser.errors import SettingsError
from ser.text.augmentation import back_translate, replace_with_near_words
from ser.text.config import TextTrainConfig
from ser.text.data import read_labelled_texts
from ser.text.finetuning import finetune_text_model
from ser.text.loop import TextProgress
from ser.text.pretraining import adapt_to_domain
from ser.text.rows import TextPart
from ser.text.training import TextTrainingResult, train_on_parts

ONLY_RECORDINGS = ("noise", "test_speakers", "dev_speakers", "resume")
"""Options that mean nothing for sentences."""


def train_text(options: argparse.Namespace, settings: Settings) -> None:
    """Train on a CSV, save, and print the figures on the held-out one.

    Args:
        options: `text, dev, out, init, tune, set, epochs, seed, log_to, pretrain_on, near_words, back_translate`.
        settings: device.

    Raises:
        SettingsError: if an option is missing, or means nothing for sentences.
        SerError: if the data or the model to start from cannot be used.
    """
    given = [f"--{name.replace('_', '-')}" for name in ONLY_RECORDINGS if getattr(options, name, None)]
    if given:
        raise SettingsError(f"{', '.join(given)}: of recordings only; leave out with --text.")
    if not options.dev:
        raise SettingsError("--text needs --dev FILE.csv: the best epoch is chosen on it.")
    if options.pretrain_on and options.init in (None, EMBEDDED):
        raise SettingsError(
            "--pretrain-on needs --init: the embedded encoder has no head that predicts words. Name a pretrained "
            "language model, such as a BERT, by its folder or its id on the hub."
        )
    changes = training_changes(options.set, options.tune, TextTrainConfig)
    config = TextTrainConfig(**changes | ({"epochs": options.epochs} if options.epochs else {}))  # type: ignore[arg-type]
    device = pick_device(settings.device)
    told = {"text": options.text, "init": options.init, "seed": options.seed, **changes}
    with ExitStack() as stack:
        bar = stack.enter_context(tqdm(unit="step", disable=None, dynamic_ncols=True))
        logs = open_logs(options, told, stack)

        def on_progress(progress: TextProgress) -> None:
            bar.total = progress.steps
            bar.set_postfix_str(f"epoch {progress.epoch}, loss {progress.loss:.3f}", refresh=False)
            bar.update(progress.step - bar.n)
            figures = {"step/loss": progress.loss, "step/learning_rate": progress.learning_rate}
            if progress.dev_macro_f1 is not None:
                figures["epoch/dev_macro_f1"] = progress.dev_macro_f1
            for log in logs:
                log.write(figures, progress.step)

        result = _train(options, config, device, on_progress)
    print(f"Saved {result.folder}.")
    for name, value in result.metrics.items():
        print(f"  {name}: {value:.3f}")


def _train(
    options: argparse.Namespace, config: TextTrainConfig, device: str, on_progress: Callable[[TextProgress], None]
) -> TextTrainingResult:
    dev = [TextPart(Path(options.dev).name, read_labelled_texts(Path(options.dev)))]
    train, out, seed = _training_parts(options, device), Path(options.out), options.seed
    if options.init in (None, EMBEDDED):
        return train_on_parts(train, dev, out, config=config, seed=seed, device=device, on_progress=on_progress)
    with tempfile.TemporaryDirectory() as scratch:
        start = options.init
        if options.pretrain_on:
            start = Path(scratch) / "adapted"
            loss = adapt_to_domain(options.init, Path(options.pretrain_on), start, seed=seed, device=device)
            print(f"Adapted to {options.pretrain_on}: {loss:.2f} nats a word.", file=sys.stderr)
        return finetune_text_model(
            start, train, dev, out, config=config, seed=seed, device=device, on_progress=on_progress
        )


def _training_parts(options: argparse.Namespace, device: str) -> list[TextPart]:
    texts = read_labelled_texts(Path(options.text))
    parts = [TextPart(Path(options.text).name, texts)]
    if options.near_words:
        more = replace_with_near_words(texts, options.near_words, device=device, seed=options.seed)
        parts.append(TextPart("near words", more))
    if options.back_translate:
        there, back = options.back_translate
        parts.append(TextPart("back-translated", back_translate(texts, there, back, device=device, seed=options.seed)))
    for part in parts[1:]:
        print(f"{len(part.texts)} rows of training are {part.name}.", file=sys.stderr)
    return parts
