"""Small recordings, corpora and configurations for training from tiny pretrained encoders."""

from pathlib import Path

import numpy as np
import soundfile

from ser.config import TrainConfig
from ser.testing import synthetic_speech
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from ser.training.progress import OnProgress, ShouldStop
from ser.training.recordings import Recordings
from ser.types import SAMPLING_RATE, Example

PITCH = {"anger": 300.0, "sadness": 110.0, "neutral": 180.0}


def recordings(count: int = 6, corpus: str = "") -> Recordings:
    """Half-second clips of two emotions, two of each speaker."""
    labels = ("sadness", "happiness")
    signals = [synthetic_speech(0.5, pitch=90.0 + 90.0 * (i % 2), seed=i).signal for i in range(count)]
    examples = [Example(Path(f"{i}.wav"), labels[i % 2], f"s{i // 2}", corpus) for i in range(count)]
    return Recordings(tuple(examples), tuple(signals))


def config(tune: str, **changes: object) -> TrainConfig:
    """One epoch of quick steps, in float32."""
    values = {"epochs": 1, "batch_size": 3, "learning_rate": 0.01, "autocast": False, "tune": tune, "lora_rank": 2}
    return TrainConfig(**{**values, **changes})  # type: ignore[arg-type]


def kept_in(folder: Path, on_progress: OnProgress | None = None, should_stop: ShouldStop | None = None) -> Surroundings:
    """A run on the CPU whose state is kept."""
    return Surroundings(Processes(), folder, on_progress, should_stop)


def write_corpus(folder: Path) -> Path:
    """Four speakers, each with two takes of three emotions."""
    folder.mkdir()
    rows = ["file_name,label,speaker"]
    generator = np.random.default_rng(0)
    for speaker in range(4):
        for number, (label, pitch) in enumerate(PITCH.items()):
            for take in range(2):
                name = f"{speaker}{number}{take}.flac"
                audio = synthetic_speech(0.7, pitch=pitch * (1 + 0.03 * speaker), seed=10 * speaker + take)
                # Without noise of their own, these voices would pass for copies of each other.
                signal = audio.signal + 0.1 * generator.standard_normal(len(audio.signal))
                soundfile.write(folder / name, signal, SAMPLING_RATE)
                rows.append(f"{name},{label},s{speaker}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder
