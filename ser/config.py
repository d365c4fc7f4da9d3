"""Settings of recognition and of training: frozen, checked when they are made.

Knows the environment's variables; knows nothing of pages or databases.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ser.errors import SettingsError

EMBEDDED = "embedded"
"""Names the weights that ship with the project, wherever a model id or folder may stand."""

NO_MODEL = "none"
"""Names the deliberate absence of a text model or transcriber."""

WHISPER_BASE = "openai/whisper-base"
"""The checkpoint of the transcriber `whisper` unless `whisper_model` names another."""

DEVICES = ("auto", "cpu", "cuda")

TUNES = r"auto|full|frozen|head|top-k:[1-9]\d*|lora|adalora|ia3|prefix|prompt"
"""Pattern of the parts of a pretrained encoder that may be trained; see `TrainConfig.tune`."""

_CHANGES = ("reverb", "noise", "telephone", "clipping", "codec")


@dataclass(frozen=True)
class Settings:
    """The models that recognise, and where they run.

    Attributes:
        acoustic_model: `embedded`, a folder, or a Hub id of an audio classification checkpoint.
        text_model: `embedded`, `none`, a folder, or a Hub id of a text classification checkpoint.
        transcriber: `auto` takes the `whisper_model` if one is named and can be had, and otherwise the embedded one;
            `embedded`, `none`, `whisper` for `whisper_model`, or the folder or Hub id of a speech recognition
            checkpoint of transformers or in CTranslate2's form.
        whisper_model: folder or Hub id of such a checkpoint, for `whisper` and `auto`; empty for none.
        language_model: `none`; the folder or Hub id of a causal language model; the address of an endpoint, with
            `#MODEL` if it serves several; or `inference:MODEL`. It gives a second opinion on the words.
        voice: that speaks replies: `embedded`, `none`, `espeak`, the file of a Piper voice, or a folder or Hub id.
        face: that reads pictures of faces: `embedded`, `none`, or a folder or Hub id of an image classification
            checkpoint; loaded with the first picture.
        device: `auto` takes CUDA if there is any.
        transcriber_threads: of the CPU, for the embedded transcriber and others in CTranslate2's form.
        max_duration: longest accepted recording in seconds; None for no limit.
    """

    acoustic_model: str = EMBEDDED
    text_model: str = EMBEDDED
    transcriber: str = "auto"
    whisper_model: str = ""
    language_model: str = NO_MODEL
    voice: str = EMBEDDED
    face: str = EMBEDDED
    device: str = "auto"
    max_duration: float | None = 60.0
    transcriber_threads: int = 1

    def __post_init__(self) -> None:
        _require_one_of("device", self.device, DEVICES)
        if self.max_duration is not None and self.max_duration <= 0:
            raise SettingsError(
                f"max_duration is {self.max_duration} s; it must be above 0. Leave it out for no limit."
            )
        if self.transcriber_threads < 1:
            raise SettingsError(f"transcriber_threads is {self.transcriber_threads}; it must be 1 or more.")

    @property
    def transcriber_model(self) -> str:
        """The transcriber without the older ways of naming it: `embedded`, `none`, a folder or a Hub id.

        >>> Settings(transcriber="whisper").transcriber_model, Settings().transcriber_model
        ('openai/whisper-base', 'embedded')
        """
        if self.transcriber == "auto":
            return self.whisper_model or EMBEDDED
        if self.transcriber == "whisper":
            return self.whisper_model or WHISPER_BASE
        return EMBEDDED if self.transcriber == "pocketsphinx" else self.transcriber

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the variables; what is unset or empty keeps its default.

        They are `SER_ACOUSTIC_MODEL`, `SER_TEXT_MODEL`, `SER_TRANSCRIBER`, `SER_WHISPER_MODEL`,
        `SER_LANGUAGE_MODEL`, `SER_VOICE`, `SER_FACE`, `SER_DEVICE`, `SER_MAX_DURATION` and `SER_TRANSCRIBER_THREADS`.

        Raises:
            SettingsError: if a variable holds a value that cannot be used.

        >>> Settings.from_env({"SER_TRANSCRIBER": "none"}).transcriber
        'none'
        """
        duration = environ.get("SER_MAX_DURATION", "")
        try:
            max_duration = float(duration) if duration else cls.max_duration
        except ValueError as error:
            raise SettingsError(f"SER_MAX_DURATION is '{duration}'; a number of seconds is needed.") from error
        threads = environ.get("SER_TRANSCRIBER_THREADS") or "1"
        if not threads.isdecimal():
            raise SettingsError(f"SER_TRANSCRIBER_THREADS is '{threads}'; a whole number from 1 is needed.")
        return cls(
            acoustic_model=environ.get("SER_ACOUSTIC_MODEL") or cls.acoustic_model,
            text_model=environ.get("SER_TEXT_MODEL") or cls.text_model,
            transcriber=environ.get("SER_TRANSCRIBER") or cls.transcriber,
            whisper_model=environ.get("SER_WHISPER_MODEL") or cls.whisper_model,
            language_model=environ.get("SER_LANGUAGE_MODEL") or cls.language_model,
            voice=environ.get("SER_VOICE") or cls.voice,
            face=environ.get("SER_FACE") or cls.face,
            device=environ.get("SER_DEVICE") or cls.device,
            max_duration=max_duration,
            transcriber_threads=int(threads),
        )


@dataclass(frozen=True)
class LoopConfig:
    """Settings of the loop that trains any network by gradients (`ser.training.gradients.engine`).

    Attributes:
        tune: weights that are trained; see the configs that inherit from this one.
        lora_rank: of the matrices that LoRA and AdaLoRA add; they are scaled by 2.
        epochs: passes over the examples.
        batch_size: examples in a step of the optimiser, over all processes.
        accumulation: parts that a step is computed in, one after the other: the same step with less memory.
        learning_rate: peak of AdamW's, reached after `warmup` of all steps, falling linearly.
        warmup: share of all steps, 0..1.
        weight_decay: AdamW's.
        patience: epochs without a better dev score before stopping; None to go on to the end.
        choose_best: keep the epoch with the best dev score; False keeps the last one.
        anchor: pull towards the weights that training began with.
        autocast: half precision if the machine is quicker with it: bfloat16, or float16 on GPUs without.
        threads: torch's; None leaves them as they are.
        seed: of everything drawn.
    """

    tune: str = "full"
    lora_rank: int = 8
    epochs: int = 5
    batch_size: int = 8
    accumulation: int = 1
    learning_rate: float = 5e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    patience: int | None = None
    choose_best: bool = True
    anchor: float = 0.0
    autocast: bool = True
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        self._require_above_zero("epochs", "batch_size", "accumulation", "lora_rank")
        self._require_shares("warmup")
        for name in ("anchor", "weight_decay", "learning_rate"):
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must not be negative.")
        if not re.fullmatch(TUNES, self.tune):
            raise SettingsError(
                f"tune is '{self.tune}'; expected auto, frozen, head, top-k:N (N from 1), full, lora, adalora, ia3, "
                "prefix or prompt."
            )

    def _require_above_zero(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be above 0.")

    def _require_shares(self, *names: str) -> None:
        for name in names:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must lie in 0..1.")


@dataclass(frozen=True)
class TrainConfig(LoopConfig):
    """Settings of fine-tuning a pretrained audio encoder: small steps, as its weights were trained on far more data.

    Attributes:
        tune: `frozen` (a head on all layers, fitted once), `head` (the same by gradients, with augmentation),
            `top-k:N` (the last N layers, too), `full`, `lora`, `adalora` or `ia3` (small matrices or vectors that are
            added to the weights), `auto` (frozen below some thousand clips, else full).
        epoch_size: examples drawn in an epoch, corpora by `corpus_weights` and labels evenly; None for each once.
        label_smoothing: share of each label spread over all labels, 0..1.
        class_weight_power: 0 counts every example the same, 1 every label.
        corpus_weights: share of each corpus in an epoch; 1 if absent.
        dropout: share of the embedding that the head does without at each step.
        augment: whether every second recording that a step sees is changed, as the following say.
        speed: lowest and highest factor of speed and pitch together.
        gain: lowest and highest gain, dB; what goes over full scale is clipped.
        reverb_probability: of being put into a room.
        reverb_time: shortest and longest RT60 of a room, seconds.
        noise_probability: of noise being added.
        snr: lowest and highest signal-to-noise ratio, dB.
        telephone_probability: of keeping the telephone's band only.
        clipping_probability: of being overdriven by 3 to 15 dB.
        codec_probability: of being encoded and decoded again, by Opus two times of three, else by MP3.
        codec_bitrate: lowest and highest of Opus, kbit/s.
        max_duration: seconds of a recording that a step sees, cut at random; as long as the windows of answering.
        gradient_checkpointing: compute the layers twice to save memory; None for those over 150 M parameters.
    """

    tune: str = "auto"
    epoch_size: int | None = None
    label_smoothing: float = 0.1
    class_weight_power: float = 0.5
    corpus_weights: Mapping[str, float] = field(default_factory=dict)
    dropout: float = 0.1
    augment: bool = True
    speed: tuple[float, float] = (0.84, 1.19)
    gain: tuple[float, float] = (-12.0, 6.0)
    reverb_probability: float = 0.3
    reverb_time: tuple[float, float] = (0.1, 0.5)
    noise_probability: float = 0.5
    snr: tuple[float, float] = (5.0, 30.0)
    telephone_probability: float = 0.1
    clipping_probability: float = 0.1
    codec_probability: float = 0.3
    codec_bitrate: tuple[float, float] = (8.0, 32.0)
    max_duration: float = 4.0
    gradient_checkpointing: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_above_zero("max_duration", "learning_rate")
        self._require_shares("label_smoothing", "dropout", *(f"{name}_probability" for name in _CHANGES))
        if self.class_weight_power < 0:
            raise SettingsError(f"class_weight_power is {self.class_weight_power}; it must not be negative.")
        for name in ("speed", "gain", "reverb_time", "snr", "codec_bitrate"):
            low, high = getattr(self, name)
            if low > high:
                raise SettingsError(f"{name} is from {low} to {high}; the lower end must come first.")
        for name in ("speed", "reverb_time", "codec_bitrate"):
            if getattr(self, name)[0] <= 0:
                raise SettingsError(f"{name} begins at {getattr(self, name)[0]}; it must be above 0.")


def _require_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} is '{value}'; expected one of {', '.join(allowed)}.")
