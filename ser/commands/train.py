"""`python -m ser train`: labelled recordings, or labelled sentences, to a model folder."""

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ser.config import Settings
from ser.errors import SettingsError
from ser.hub import pick_device
from ser.text.training import TextProgress, TextTrainConfig, train_text_model
from ser.training import TrainProgress, run_recipe


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Train, save, and say what it gave.

    Args:
        options: `data` or `text` and `dev`; `out, init, noise, test_speakers, dev_speakers, epochs, seed`.
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
    with _Bar() as bar:
        result = run_recipe(
            options.data,
            options.out,
            init=options.init,
            seed=options.seed,
            epochs=options.epochs,
            test_speakers=options.test_speakers,
            dev_speakers=options.dev_speakers,
            noise_dir=options.noise,
            device=pick_device(settings.device),
            on_progress=bar.show,
        )
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
