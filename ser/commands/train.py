"""`python -m ser train`: labelled recordings, or labelled sentences, to a model folder."""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ser.checkpoints.hub import pick_device
from ser.config import EMBEDDED, NO_MODEL, Settings, TrainConfig
from ser.errors import SettingsError
from ser.text.config import TextTrainConfig
from ser.training.progress import OnProgress, TrainProgress
from ser.training.recipe import HeadRecipe, RecipeResult, run_recipe
from ser.training.run_logs import RunLog, flat, open_log, record


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Train, save, and print the figures.

    Args:
        options: `data` or `text` and `dev`; `out, init, noise, test_speakers, dev_speakers, epochs, seed,
            resume, tune, set, log_to`.
        settings: device.

    Returns:
        0.

    Raises:
        SettingsError: if neither or both of `data` and `text` are given.
        SerError: if the data or the model to start from cannot be used.
    """
    if bool(options.data) == bool(options.text):
        raise SettingsError("Name either recordings (--data DIR ...) or sentences (--text TRAIN.csv --dev DEV.csv).")
    if options.text:
        # Only here is torch brought in; a head on a frozen encoder is trained without it.
        importlib.import_module("ser.commands.train_text").train_text(options, settings)
    else:
        _train_acoustic(options, settings)
    return 0


def _train_acoustic(options: argparse.Namespace, settings: Settings) -> None:
    changes = training_changes(options.set, options.tune)
    checkpoint_dir = Path(f"{options.out}.checkpoint")
    if any(checkpoint_dir.rglob("*.pt")) and not options.resume:
        raise SettingsError(
            f"An interrupted training is kept in {checkpoint_dir}. Go on with it by --resume, or remove that folder."
        )
    shown = {"data": options.data, "init": options.init, "seed": options.seed, **changes}
    with ExitStack() as stack:
        bar, logs = stack.enter_context(ProgressBar()), open_logs(options, shown, stack)

        def on_progress(progress: TrainProgress) -> None:
            if _talks():
                bar.show(progress)
            for log in logs:
                record(progress, log)

        result = _run_recipe(options, changes, settings, checkpoint_dir, on_progress)
        for log in logs:
            # Of a frozen encoder there are no steps, only what came of it.
            log.write(dict(flat({part: result.meta.metrics.get(part, {}) for part in ("dev", "test")}, "end/")), 0)
    if _talks():
        _print_result(result)


def _run_recipe(
    options: argparse.Namespace,
    changes: Mapping[str, object],
    settings: Settings,
    checkpoint_dir: Path,
    on_progress: OnProgress,
) -> RecipeResult:
    """Train a head on a frozen encoder, or whatever else `--tune` names with it."""
    init = EMBEDDED if options.init in (None, NO_MODEL) else options.init
    speakers = {} if options.test_speakers is None else {"test_speakers": options.test_speakers}
    recipe = HeadRecipe(
        encoder=init,
        noise_dir=Path(options.noise) if options.noise else None,
        dev_speakers=options.dev_speakers,
        seed=options.seed,
        device=pick_device(settings.device),
        **speakers,
    )
    if init == EMBEDDED:
        refused = [name for name in ("set", "epochs", "resume") if getattr(options, name)]
        if refused or options.tune not in (None, "auto", "frozen"):
            raise SettingsError(
                f"--{refused[0] if refused else 'tune ' + options.tune} is for training by gradients, and the embedded "
                "encoder stays frozen. Name a checkpoint with --init, or leave it out."
            )
        return run_recipe(options.data, options.out, recipe, on_progress=on_progress)
    if options.epochs:
        changes = {"epochs": options.epochs, **changes}
    # Only here is torch brought in.
    result: RecipeResult = importlib.import_module("ser.training.gradients.encoder").run_encoder_recipe(
        options.data, options.out, recipe, changes, checkpoint_dir=checkpoint_dir, on_progress=on_progress
    )
    return result


def training_changes(
    assignments: Sequence[str],
    tune: str | None = None,
    config: type[TrainConfig] | type[TextTrainConfig] = TrainConfig,
) -> dict[str, object]:
    """Read assignments by the names of a config's attributes.

    Values are JSON, or else taken as text; lists become tuples.

    Args:
        assignments: `NAME=VALUE`.
        tune: of `--tune`.
        config: whose attributes they are.

    Raises:
        SettingsError: if there is no such attribute, or no value.

    >>> training_changes(["batch_size=32", "speed=[0.9, 1.1]", "patience=null"], "lora")
    {'batch_size': 32, 'speed': (0.9, 1.1), 'patience': None, 'tune': 'lora'}
    """
    kinds = {attribute.name: attribute.type for attribute in fields(config)}
    changes: dict[str, object] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in kinds:
            raise SettingsError(f"--set {assignment}: expected NAME=VALUE, NAME being one of {', '.join(kinds)}.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if isinstance(value, str) and kinds[name] is not str:
            raise SettingsError(f"--set {assignment}: a number is expected, or [low, high], true, false or null.")
        changes[name] = tuple(value) if isinstance(value, list) else value
    return changes | ({"tune": tune} if tune else {})


def open_logs(options: argparse.Namespace, shown: Mapping[str, object], stack: ExitStack) -> list[RunLog]:
    """Open what `--log-to` names, until the stack is left; of several processes (torchrun), one writes."""
    kinds = options.log_to if _talks() else []
    logs = [open_log(kind, Path(f"{options.out}.logs"), Path(options.out).name, shown) for kind in kinds]
    for log in logs:
        stack.callback(log.close)
    return logs


def _talks() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


def _print_result(result: RecipeResult) -> None:
    for note in result.notes:
        print(note, file=sys.stderr)
    print(f"Saved {result.folder} (SHA-256 {result.meta.sha256[:12]}).")
    print(str(result.leaks))
    for name, by_corpus in (("dev", _dev_uar(result.meta.metrics)), ("test", result.test_uar)):
        for corpus, uar in by_corpus.items():
            print(f"  {name} speakers of {corpus}: UAR {uar:.1%}")


class ProgressBar:
    """A progress bar that begins anew with each stage; silent if there is no terminal."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="step", disable=None, dynamic_ncols=True)
        self._stage = ""

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, progress: TrainProgress) -> None:
        """Move to a moment of the run."""
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._bar.reset(total=progress.steps)
            self._bar.set_description(progress.stage)
        if progress.loss is not None:
            uar = "" if progress.uar is None else f", dev score {progress.uar:.1%}"
            text = f"epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}{uar}"
            self._bar.set_postfix_str(text, refresh=False)
        self._move(progress.step, progress.steps)

    def _move(self, step: int, steps: int) -> None:
        # A second set of recordings (dev, test) counts from 1 again.
        if step < self._bar.n:
            self._bar.reset(total=steps)
        self._bar.total = steps
        self._bar.update(step - self._bar.n)


def _dev_uar(metrics: Any) -> dict[str, float]:
    """The dev UAR of each corpus, from a head's figures or an encoder's."""
    dev = metrics.get("dev", {})
    return dict(dev["uar"]) if "uar" in dev else {corpus: figures["uar"] for corpus, figures in dev.items()}
