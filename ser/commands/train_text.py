"""The text half of `python -m ser train`: labelled sentences to a text model's folder."""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from ser.checkpoints.hub import pick_device
from ser.commands.train import ProgressBar, open_logs, training_changes
from ser.config import EMBEDDED, Settings
from ser.errors import SettingsError
from ser.text.config import TextTrainConfig
from ser.text.data import read_labelled_texts
from ser.text.language_models import adapt_to_domain, back_translate, replace_with_near_words
from ser.text.task import TextPart
from ser.text.training import train_text_model
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from ser.training.progress import TrainProgress
from ser.training.run_logs import record

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
    changes = training_changes(options.set, options.tune, TextTrainConfig) | {"seed": options.seed}
    config = TextTrainConfig(**changes | ({"epochs": options.epochs} if options.epochs else {}))  # type: ignore[arg-type]
    device = pick_device(settings.device)
    with ExitStack() as stack:
        bar = stack.enter_context(ProgressBar())
        logs = open_logs(options, {"text": options.text, "init": options.init, **changes}, stack)

        def on_progress(progress: TrainProgress) -> None:
            bar.show(progress)
            for log in logs:
                record(progress, log)

        dev = [TextPart(Path(options.dev).name, read_labelled_texts(Path(options.dev)))]
        train, out = _training_parts(options, device), Path(options.out)
        around = Surroundings(Processes(device), on_progress=on_progress)
        start: str | Path = options.init or EMBEDDED
        if options.pretrain_on:
            start = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "adapted"
            loss = adapt_to_domain(options.init, Path(options.pretrain_on), start, seed=options.seed, device=device)
            print(f"Adapted to {options.pretrain_on}: {loss:.2f} nats a word.", file=sys.stderr)
        metrics = train_text_model(train, dev, out, around=around, init=start, config=config)
    print(f"Saved {options.out}.")
    for name, value in metrics.items():
        print(f"  {name}: {value:.3f}")


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
