"""Training from pretrained encoders by gradients: examples or corpora in, a measured and saved model out. Needs torch.

Heads on the embedded encoder are trained by `ser.training.recipe`, which needs none.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from ser.acoustic.classifier import model_folder
from ser.audio.augmentation import load_noises
from ser.checkpoints.folder import check_weights, load_meta
from ser.checkpoints.pretrained import load_config
from ser.config import TrainConfig
from ser.training.description import describe
from ser.training.encoder import TunedEncoder, tune_encoder, tune_of
from ser.training.processes import Processes
from ser.training.progress import OnProgress, ShouldStop
from ser.training.recipe import (
    RESERVED_SPEAKERS,
    TOLERATED,
    HeadRecipe,
    RecipeResult,
    check_labels,
    refuse_folder,
    run_recipe,
    split_corpora,
)
from ser.training.recordings import read_recordings
from ser.types import Example


def train(
    examples: Sequence[Example],
    config: TrainConfig | None = None,
    *,
    init: str | Path,
    dev: Sequence[Example] = (),
    noise_dir: Path | None = None,
    checkpoint_dir: Path | None = None,
    device: str = "cpu",
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> TunedEncoder:
    """Train from a pretrained encoder; under `torchrun`, every process calls it alike and has the model.

    Args:
        examples: to train on; labels may be soft, weights count.
        config: by default `TrainConfig()`.
        init: folder or Hub id of an audio encoder, finished for some task or not.
        dev: of other speakers: chooses the epoch and the temperature. Without it the last epoch is taken.
        noise_dir: recordings of noise to mix in; synthetic noise without.
        checkpoint_dir: keeps the run, until its model is saved: called again after a kill with the same arguments,
            it goes on there and gives the same weights. None keeps nothing.
        device: `cpu` or `cuda`.
        on_progress: called while recordings are read and after every step.
        should_stop: asked just as often.

    Raises:
        TrainingDataError: if the examples do not suffice or cannot be read, or `checkpoint_dir` keeps another run.
        ModelUnavailableError: if `init` cannot be used.
        SettingsError: if `init` has not what `config.tune` names.
        TrainingCancelledError: if asked to stop.
    """
    check_labels(examples)
    folder = model_folder(init)
    # Before an hour of decoding, not after it.
    load_config(folder)
    check_weights(folder)
    read = partial(read_recordings, on_progress=on_progress, should_stop=should_stop)
    return tune_encoder(
        folder,
        read(examples),
        config or TrainConfig(),
        dev=read(dev) if dev else None,
        noises=load_noises(noise_dir) if noise_dir else (),
        data=describe(examples, dev),
        device=device,
        checkpoint_dir=checkpoint_dir,
        on_progress=on_progress,
        should_stop=should_stop,
    )


@dataclass(frozen=True)
class EncoderRecipe:
    """How a model is trained from a pretrained encoder on corpora.

    Attributes:
        init: folder or Hub id of the encoder.
        changes: of `TrainConfig()`, by the names of its attributes.
        noise_dir: recordings of noise to mix in; synthetic noise without.
        test_speakers: kept out and measured at the end.
        dev_speakers: kept out of training, to choose by; drawn if left out.
        checkpoint_dir: keeps the run until its model is saved; None keeps nothing.
        device: `cpu` or `cuda`.
    """

    init: str
    changes: Mapping[str, object]
    noise_dir: Path | None = None
    test_speakers: Collection[str] = RESERVED_SPEAKERS
    dev_speakers: Collection[str] | None = None
    checkpoint_dir: Path | None = None
    device: str = "cpu"


def run_encoder_recipe(
    data_dirs: Sequence[Path | str],
    out: Path | str,
    recipe: EncoderRecipe,
    *,
    name: str | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> RecipeResult:
    """Read corpora, split by speaker, check for leaks, train, measure, save.

    A frozen encoder goes through `ser.training.recipe.run_recipe`, which caches its embeddings.

    Args:
        data_dirs: corpora, as `ser.corpora.read_corpus` takes them.
        out: folder of the model; must not exist yet, or be empty.
        recipe: how.
        name: of the model, for people; the folder's by default.
        on_progress: called while recordings are read and after every step.
        should_stop: asked just as often.

    Raises:
        TrainingDataError: if the data does not suffice or cannot be read.
        DataLeakError: if speakers or recordings are in two splits.
        ModelUnavailableError: if the encoder cannot be used, or `out` holds something.
        SettingsError: if the encoder has not what `tune` names.
        TrainingCancelledError: if asked to stop.
    """
    out, config = Path(out), replace(TrainConfig(), **dict(recipe.changes))  # type: ignore[arg-type]
    refuse_folder(out)
    folder = model_folder(recipe.init)
    check_weights(folder)
    corpora = split_corpora(data_dirs, recipe.test_speakers, recipe.dev_speakers, config.seed, on_progress, should_stop)
    split = corpora.split
    config = replace(config, tune=tune_of(config, len(split.train)))
    if config.tune == "frozen":
        plain = HeadRecipe(
            encoder=recipe.init,
            noise_dir=recipe.noise_dir,
            test_speakers=recipe.test_speakers,
            dev_speakers=recipe.dev_speakers,
            seed=config.seed,
            device=recipe.device,
        )
        return run_recipe(data_dirs, out, plain, name=name, on_progress=on_progress, should_stop=should_stop)
    read = partial(read_recordings, tolerated=TOLERATED, on_progress=on_progress, should_stop=should_stop)
    train_set, dev, test = (read(part) if part else None for part in (split.train, split.dev, split.test))
    assert train_set is not None
    model = tune_encoder(
        folder,
        train_set,
        config,
        dev=dev,
        noises=load_noises(recipe.noise_dir) if recipe.noise_dir else (),
        data={**describe(split.train, split.dev), "test_speakers": sorted({e.speaker for e in split.test})},
        device=recipe.device,
        checkpoint_dir=recipe.checkpoint_dir,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    test_uar = model.uar_by_corpus(test) if test else {}
    metrics = {"test": {corpus: {"uar": uar} for corpus, uar in test_uar.items()}}
    # Of several processes (torchrun) one writes; the others read what it has written.
    meta = Processes(recipe.device).on_main(
        lambda: model.save(out, name=name, metrics=metrics), otherwise=lambda: load_meta(out)
    )
    left_out = [f"Left out: {sentence}" for part in (train_set, dev, test) if part for sentence in part.skipped]
    return RecipeResult(out, meta, (*corpora.notes, *left_out), corpora.leaks, test_uar)
