"""`python -m ser train`: labelled recordings, or labelled sentences, to a model folder."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ser.config import Settings, TrainConfig
from ser.errors import SettingsError
from ser.hub import pick_device
from ser.text.training import TextProgress, TextTrainConfig, train_text_model
from ser.training import RecipeResult, TrainProgress, run_recipe
from ser.training.run_logs import open_log, record
from ser.training.run_state import has_state


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Train, save, and say what it gave.

    Args:
        options: `data` or `text` and `dev`; `out, init, noise, test_speakers, dev_speakers, epochs, seed,
            resume, tune, set, log_to`.
        settings: device.

    Returns:
        0.

    Raises:
        SettingsError: where neither or both of `data` and `text` are given.
        SerError: where the data or the model to start from cannot be used.
    """
    if bool(options.data) == bool(options.text):
        raise SettingsError("Name either recordings (--data DIR ...) or sentences (--text TRAIN.csv --dev DEV.csv).")
    if options.text:
        _train_text(options)
    else:
        _train_acoustic(options, settings)
    return 0


def _train_acoustic(options: argparse.Namespace, settings: Settings) -> None:
    changes = training_changes(options.set, options.tune)
    checkpoint_dir = Path(f"{options.out}.checkpoint")
    if has_state(checkpoint_dir) and not options.resume:
        raise SettingsError(
            f"An interrupted training is kept in {checkpoint_dir}. Go on with it by --resume, or remove that folder."
        )
    with ExitStack() as stack:
        bar = stack.enter_context(_Bar())
        # Of several processes (torchrun), one talks.
        kinds = options.log_to if _talks() else []
        told = {"data": options.data, "init": options.init, "seed": options.seed, **changes}
        logs = [open_log(kind, Path(f"{options.out}.logs"), Path(options.out).name, told) for kind in kinds]
        for log in logs:
            stack.callback(log.close)

        def on_progress(progress: TrainProgress) -> None:
            if _talks():
                bar.show(progress)
            for log in logs:
                record(progress, log)

        result = run_recipe(
            options.data,
            options.out,
            init=options.init,
            seed=options.seed,
            epochs=options.epochs,
            changes=changes,
            test_speakers=options.test_speakers,
            dev_speakers=options.dev_speakers,
            noise_dir=options.noise,
            checkpoint_dir=checkpoint_dir,
            device=pick_device(settings.device),
            on_progress=on_progress,
        )
    if _talks():
        _print_result(result)


def training_changes(assignments: Sequence[str], tune: str | None = None) -> dict[str, object]:
    """What `--set` and `--tune` ask for, by the names of `TrainConfig`'s attributes.

    Values are JSON, or else taken as text; lists become tuples.

    Raises:
        SettingsError: where there is no such attribute, or no value.

    >>> training_changes(["batch_size=32", "speed=[0.9, 1.1]", "patience=null"], "lora")
    {'batch_size': 32, 'speed': (0.9, 1.1), 'patience': None, 'tune': 'lora'}
    """
    kinds = {attribute.name: attribute.type for attribute in fields(TrainConfig)}
    names = list(kinds)
    changes: dict[str, object] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or name not in names:
            raise SettingsError(f"--set {assignment}: expected NAME=VALUE, NAME being one of {', '.join(names)}.")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if isinstance(value, str) and kinds[name] is not str:
            raise SettingsError(f"--set {assignment}: a number is expected, or [low, high], true, false or null.")
        changes[name] = tuple(value) if isinstance(value, list) else value
    return changes | ({"tune": tune} if tune else {})


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


def _train_text(options: argparse.Namespace) -> None:
    if not options.dev:
        raise SettingsError("--text needs --dev FILE.csv: the best epoch is chosen on it.")
    config = TextTrainConfig(epochs=options.epochs) if options.epochs else TextTrainConfig()
    with _Bar() as bar:
        result = train_text_model(
            Path(options.text),
            Path(options.dev),
            Path(options.out),
            config=config,
            seed=options.seed,
            on_progress=bar.show_text,
        )
    print(f"Saved {result.folder}.")
    for name, value in result.metrics.items():
        print(f"  {name}: {value:.3f}")


class _Bar:
    """A progress bar that begins anew with each stage; silent where nobody watches."""

    def __init__(self) -> None:
        self._bar = tqdm(unit="step", disable=None, dynamic_ncols=True)
        self._stage = ""

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, progress: TrainProgress) -> None:
        if progress.stage != self._stage:
            self._stage = progress.stage
            self._bar.reset(total=progress.steps)
            self._bar.set_description(progress.stage)
        if progress.loss is not None:
            uar = "" if progress.uar is None else f", dev UAR {progress.uar:.1%}"
            text = f"epoch {progress.epoch}/{progress.epochs}, loss {progress.loss:.3f}{uar}"
            self._bar.set_postfix_str(text, refresh=False)
        self._move(progress.step, progress.steps)

    def show_text(self, progress: TextProgress) -> None:
        self._bar.set_postfix_str(f"epoch {progress.epoch}, loss {progress.loss:.3f}", refresh=False)
        self._move(progress.step, progress.steps)

    def _move(self, step: int, steps: int) -> None:
        # A second set of recordings (dev, test) counts from 1 again.
        if step < self._bar.n:
            self._bar.reset(total=steps)
        self._bar.total = steps
        self._bar.update(step - self._bar.n)


def _dev_uar(metrics: Any) -> dict[str, float]:
    by_corpus: dict[str, float] = metrics.get("dev", {}).get("uar", {})
    return by_corpus
