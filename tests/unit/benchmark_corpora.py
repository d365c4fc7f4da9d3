"""Makes small corpus folders of synthetic speech for tests of the benchmarks."""

import csv
from collections.abc import Sequence
from pathlib import Path

import soundfile

from ser.testing import synthetic_speech

PITCHES = {"anger": 300.0, "sadness": 110.0, "neutral": 180.0, "happiness": 240.0, "calm": 140.0, "fear": 270.0}


def make_corpus(folder: Path, speakers: Sequence[str], labels: Sequence[str], takes: int = 1) -> Path:
    """A folder with `metadata.csv` in which labels differ in pitch and every clip lasts 0.7 s."""
    (folder / "audio").mkdir(parents=True)
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file_name", "label", "speaker"))
        for number, speaker in enumerate(speakers):
            for label in labels:
                for take in range(takes):
                    name = f"audio/{speaker}_{label}_{take}.flac"
                    pitch = PITCHES[label] * (1 + 0.03 * number)
                    audio = synthetic_speech(0.7, pitch=pitch, seed=sum(map(ord, name)))
                    soundfile.write(folder / name, audio.signal, audio.sampling_rate)
                    writer.writerow((name, label, speaker))
    return folder
