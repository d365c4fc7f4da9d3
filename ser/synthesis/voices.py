"""Voices: Piper's, checkpoints of transformers, and the program espeak-ng."""

import importlib
import io
import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import soundfile
import soxr

from ser.audio.batching import available_cores
from ser.checkpoints.hub import pick_device
from ser.errors import ModelUnavailableError
from ser.synthesis.speech import Tone
from ser.types import Signal

ESPEAK = "espeak-ng"

ESPEAK_RATE, ESPEAK_PITCH = 175, 50
"""Words a minute and pitch (0..99) that espeak-ng speaks with unless told otherwise. Source: its manual."""

ESPEAK_STEP = 3.0
"""Steps of espeak-ng's pitch in a semitone, about: its 0..99 span some two and a half octaves."""

LONGEST_SENTENCE = 30.0
"""Seconds after which espeak-ng is given up."""


class PiperVoice:
    """A voice of Piper: its speed is the network's own, its pitch comes from playing it slower or faster.

    Args:
        path: of its `.onnx` file; the `.onnx.json` lies next to it.

    Raises:
        ModelUnavailableError: if the files are no voice.
    """

    def __init__(self, path: Path) -> None:
        piper = importlib.import_module("piper")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(2, available_cores())
        try:
            config = piper.PiperConfig.from_dict(json.loads(path.with_name(path.name + ".json").read_text("utf-8")))
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelUnavailableError(
                f"{path} is no Piper voice ({str(error).partition(chr(10))[0]}). Its .onnx and .onnx.json are needed."
            ) from error
        self.name = f"Piper {path.stem}"
        self.sampling_rate = int(config.sample_rate)
        self.language = str(config.espeak_voice).partition("-")[0]
        self._usual = float(config.length_scale)
        self._piper = piper
        self._voice = piper.PiperVoice(config=config, session=session)
        # espeak's phonemes are made by one library with one state.
        self._lock = threading.Lock()

    def say(self, sentence: str, tone: Tone) -> Signal:
        """Speak one sentence."""
        # Played faster by `speed` it gets higher, and shorter: it is spoken slower by as much.
        config = self._piper.SynthesisConfig(length_scale=self._usual * tone.speed / tone.rate)
        with self._lock:
            parts = [part.audio_float_array for part in self._voice.synthesize(sentence, config)]
        spoken = np.concatenate([np.zeros(0, np.float32), *parts])
        return _played_faster(spoken, tone.speed)


class CheckpointVoice:
    """A text-to-speech checkpoint of transformers.

    Args:
        folder: of the checkpoint, safetensors only.
        name: for people.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ModelUnavailableError: if it is damaged, or no text-to-speech model.
    """

    def __init__(self, folder: Path, name: str, device: str = "auto") -> None:
        transformers = importlib.import_module("transformers")
        self._pretrained = importlib.import_module("ser.checkpoints.pretrained")
        try:
            with self._pretrained.quiet_loading():
                self._pipeline: Any = transformers.pipeline(
                    "text-to-speech",
                    model=str(folder),
                    device=pick_device(device),
                    trust_remote_code=False,
                    model_kwargs={"use_safetensors": True},
                )
        except Exception as error:
            reason = self._pretrained.describe_failure(error)
            raise ModelUnavailableError(
                f"'{name}' cannot be loaded as a voice ({reason}). Name a text-to-speech checkpoint."
            ) from error
        self.name = name
        self.sampling_rate = int(self._pipeline.sampling_rate)
        self.language = ""
        self._lock = threading.Lock()

    def say(self, sentence: str, tone: Tone) -> Signal:
        """Speak one sentence, stretched and then played faster: such networks take no rate."""
        try:
            with self._lock:
                spoken = np.asarray(self._pipeline(sentence)["audio"], np.float32).reshape(-1)
        except Exception as error:
            raise ModelUnavailableError(
                f"{self.name} could not speak ({self._pretrained.describe_failure(error)})."
            ) from error
        stretch = tone.rate / tone.speed
        if stretch != 1.0 and len(spoken):
            spoken = importlib.import_module("librosa.effects").time_stretch(spoken, rate=stretch)
        return _played_faster(spoken, tone.speed)


class EspeakVoice:
    """The program espeak-ng, for machines without another voice.

    Args:
        language: that it speaks, as `espeak-ng --voices` names it; `zh` is Mandarin.
    """

    def __init__(self, language: str = "en") -> None:
        self.name = f"{ESPEAK} {language}"
        self.sampling_rate = 22_050
        self.language = language.partition("-")[0]
        self._voice = "cmn" if language == "zh" else language

    def say(self, sentence: str, tone: Tone) -> Signal:
        """Speak one sentence in a process of its own.

        Raises:
            ModelUnavailableError: if the program fails.
        """
        pitch = min(99, max(0, round(ESPEAK_PITCH + ESPEAK_STEP * tone.pitch)))
        command = [ESPEAK, "-v", self._voice, "-s", str(round(ESPEAK_RATE * tone.rate)), "-p", str(pitch), "--stdout"]
        try:
            # The text comes by stdin: as an argument it might be an option.
            done = subprocess.run(
                [*command, "--stdin"],
                input=sentence.encode(),
                capture_output=True,
                timeout=LONGEST_SENTENCE,
                check=True,
            )
            spoken, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
        except (OSError, subprocess.SubprocessError, soundfile.LibsndfileError) as error:
            raise ModelUnavailableError(f"{ESPEAK} could not speak ({error}).") from error
        return spoken if rate == self.sampling_rate else soxr.resample(spoken, rate, self.sampling_rate)


def _played_faster(signal: Signal, factor: float) -> Signal:
    """Shorter and higher by one factor."""
    if factor == 1.0 or not len(signal):
        return signal
    return np.asarray(soxr.resample(signal, 1000 * factor, 1000), np.float32)
