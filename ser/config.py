"""Settings of recognition and of training: frozen, checked when they are made.

Knows the environment's variables; knows nothing of pages or databases.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ser.errors import SettingsError
from ser.labels import EMOTIONS

EMBEDDED = "embedded"
"""Names the weights that ship with the project, wherever a model id or folder may stand."""

NO_MODEL = "none"
"""Names the deliberate absence of a text model or transcriber."""

TRANSCRIBERS = ("auto", "pocketsphinx", "whisper", NO_MODEL)
DEVICES = ("auto", "cpu", "cuda")

TUNES = r"full|frozen|head|top-k:[1-9]\d*|lora|adalora"
"""Pattern of what of an encoder of others may learn; see `TrainConfig.tune`."""

_SHARES = (
    *("warmup", "label_smoothing", "mixup_probability", "ema_decay", "time_mask_share", "reverb_probability"),
    *("noise_probability", "telephone_probability", "clipping_probability", "codec_probability"),
    "narrow_probability",
)
_NOT_NEGATIVE = (
    *("variants", "frozen_blocks", "mixup", "anchor", "weight_decay", "class_weight_power", "speakers_per_batch"),
    *("intensity_weight", "adapted_weight", "stretch", "warp", "equaliser", "floor", "time_masks", "band_masks"),
    "band_mask_size",
)


@dataclass(frozen=True)
class Settings:
    """Which models recognise, and where they run.

    Attributes:
        acoustic_model: `embedded`, a folder, or a Hub id of an audio classification checkpoint.
        text_model: `embedded`, `none`, a folder, or a Hub id of a text classification checkpoint.
        transcriber: `auto` takes Whisper where it is cached or reachable and otherwise pocketsphinx.
        whisper_model: folder or Hub id of the speech recognition checkpoint.
        device: `auto` takes CUDA where there is one.
        max_duration: longest accepted recording in seconds; None for no limit.
    """

    acoustic_model: str = EMBEDDED
    text_model: str = EMBEDDED
    transcriber: str = "auto"
    whisper_model: str = "openai/whisper-base"
    device: str = "auto"
    max_duration: float | None = 60.0

    def __post_init__(self) -> None:
        _require_one_of("transcriber", self.transcriber, TRANSCRIBERS)
        _require_one_of("device", self.device, DEVICES)
        if self.max_duration is not None and self.max_duration <= 0:
            raise SettingsError(
                f"max_duration is {self.max_duration} s; it must be above 0. Leave it out for no limit."
            )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the variables; what is unset or empty keeps its default.

        They are `SER_ACOUSTIC_MODEL`, `SER_TEXT_MODEL`, `SER_TRANSCRIBER`, `SER_WHISPER_MODEL`, `SER_DEVICE` and
        `SER_MAX_DURATION`.

        Raises:
            SettingsError: where a variable holds a value that cannot be used.

        >>> Settings.from_env({"SER_TRANSCRIBER": "none"}).transcriber
        'none'
        """
        duration = environ.get("SER_MAX_DURATION", "")
        try:
            max_duration = float(duration) if duration else cls.max_duration
        except ValueError as error:
            raise SettingsError(f"SER_MAX_DURATION is '{duration}'; a number of seconds is needed.") from error
        return cls(
            acoustic_model=environ.get("SER_ACOUSTIC_MODEL") or cls.acoustic_model,
            text_model=environ.get("SER_TEXT_MODEL") or cls.text_model,
            transcriber=environ.get("SER_TRANSCRIBER") or cls.transcriber,
            whisper_model=environ.get("SER_WHISPER_MODEL") or cls.whisper_model,
            device=environ.get("SER_DEVICE") or cls.device,
            max_duration=max_duration,
        )


@dataclass(frozen=True)
class TrainConfig:
    """How an acoustic network is trained; the defaults train from nothing.

    Attributes:
        epochs: passes over the examples, or draws of `epoch_size` of them.
        epoch_size: examples drawn in an epoch, corpora by `corpus_weights` and labels evenly; None for each once.
        batch_size: examples in a step of the optimiser, over all processes.
        accumulation: parts that a step is computed in, one after the other: the same step with less memory.
        speakers_per_batch: so many speakers share a step, each with several clips; 0 draws clips, not speakers.
        learning_rate: peak of AdamW's, reached after `warmup` of all steps, falling as a cosine.
        warmup: share of all steps, 0..1.
        weight_decay: AdamW's.
        label_smoothing: share of each truth spread over the labels, 0..1.
        class_weight_power: 0 counts every example the same, 1 every label.
        intensity_weight: of the loss of a network's intensity head, where it has one and the clip's is known.
        adapted_weight: of the loss of the answers that a network gives with the speaker's other clips in view.
        mixup: parameter of the Beta distribution that mixes pairs; 0 for no mixing.
        mixup_probability: share of the examples that are mixed.
        augment: whether features are changed at every draw: tempo, vocal tract, microphone curve, noise floor, masks.
        stretch: largest relative change of tempo at a draw.
        warp: largest relative shift of the mel scale at a draw, a longer or shorter vocal tract.
        equaliser: largest gain of a drawn microphone curve, bels.
        floor: largest rise of the noise floor at a draw, bels; half of the draws have one.
        narrow_probability: of a draw keeping only the band of a line or a codec: up to 3.2 to 7 kHz, and half of the
            times from up to 350 Hz on.
        time_masks: stretches of time hidden at a draw (SpecAugment), each at most `time_mask_share` of the clip.
        time_mask_share: 0..1.
        band_masks: stretches of mel bands hidden at a draw (SpecAugment), each at most `band_mask_size` bands.
        band_mask_size: mel bands.
        variants: changed recordings (speed, gain, room, noise, microphone, codec) made of every example beforehand.
        speed: lowest and highest factor of a variant's speed and pitch together.
        gain: lowest and highest gain of a variant, dB; what goes over full scale is clipped.
        reverb_probability: of a variant being put into a room.
        reverb_time: shortest and longest RT60 of a room, seconds.
        noise_probability: of noise being added to a variant.
        snr: lowest and highest signal-to-noise ratio, dB.
        telephone_probability: of a variant keeping the telephone's band only.
        clipping_probability: of a variant being overdriven by 3 to 15 dB.
        codec_probability: of a variant being encoded and decoded again, by Opus two times of three, else by MP3.
        codec_bitrate: lowest and highest of Opus, kbit/s.
        max_duration: seconds of a recording that a step sees, cut at random.
        ema_decay: of the average of the weights that is kept; 0 keeps the weights themselves.
        patience: epochs without a better dev score before stopping; None to go on to the end.
        choose_best: keep the epoch with the best dev score; False keeps the last one, where the dev score is only
            watched because the same examples judge the outcome.
        corpus_weights: share of each corpus in an epoch and in the dev score; 1 where absent.
        mask_absent_labels: whether a corpus's examples compete only among the labels that corpus has.
        frozen_blocks: 0 trains everything; n freezes the convolutional front and the first n - 1 blocks over time.
        freeze_norms: keep the statistics of batch normalisation, as small data would spoil them.
        anchor: pull towards the weights training began with, for fine-tuning.
        tune: what of an encoder of others learns: `full`, `frozen` (all but its encoder), `head` (the last layer),
            `top-k:N` (the last N layers and what follows), `lora` or `adalora` (small matrices beside its weights).
        lora_rank: of those matrices.
        gradient_checkpointing: compute an encoder's layers twice to save memory; None for those over 150 M parameters.
        autocast: half precision where the machine is quicker with it: bfloat16, or float16 on GPUs without.
        threads: torch's; None leaves them as they are.
        seed: of everything drawn.
        heard_labels: what a network that begins from nothing learns to tell apart; labels that are none of the seven
            emotions (calm) count in its answers as the emotion that `ser.labels.ALIASES` names.
        refit: train once more with the dev speakers too, when they have had their say on epoch and temperature.
        crossed: parts that the speakers who teach are divided into; each part is answered by a network that learnt
            from the others, and all these answers set the temperature with the dev speakers'. 0 leaves it to these, as
            it always is for encoders of others.
        crossed_network: what differs from `network` then: a smaller one spares time.
        network: sizes that differ from the defaults of `ser.acoustic.network.AcousticConfig`.
    """

    epochs: int = 30
    epoch_size: int | None = None
    batch_size: int = 64
    accumulation: int = 1
    speakers_per_batch: int = 0
    learning_rate: float = 2e-3
    warmup: float = 0.08
    weight_decay: float = 0.03
    label_smoothing: float = 0.1
    class_weight_power: float = 0.5
    intensity_weight: float = 0.0
    adapted_weight: float = 0.0
    mixup: float = 0.4
    mixup_probability: float = 0.5
    augment: bool = True
    stretch: float = 0.2
    warp: float = 0.08
    equaliser: float = 0.6
    floor: float = 2.5
    narrow_probability: float = 0.0
    time_masks: int = 2
    time_mask_share: float = 0.12
    band_masks: int = 2
    band_mask_size: int = 10
    variants: int = 5
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
    max_duration: float = 3.0
    ema_decay: float = 0.995
    patience: int | None = None
    choose_best: bool = True
    corpus_weights: Mapping[str, float] = field(default_factory=dict)
    mask_absent_labels: bool = False
    frozen_blocks: int = 0
    freeze_norms: bool = False
    anchor: float = 0.0
    tune: str = "full"
    lora_rank: int = 8
    gradient_checkpointing: bool | None = None
    autocast: bool = True
    threads: int | None = None
    seed: int = 0
    heard_labels: tuple[str, ...] = EMOTIONS
    refit: bool = False
    crossed: int = 0
    crossed_network: Mapping[str, object] = field(default_factory=dict)
    network: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulation", "learning_rate", "max_duration", "lora_rank"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be above 0.")
        for name in _SHARES:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must lie in 0..1.")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must not be negative.")
        if self.crossed < 0 or self.crossed == 1:
            raise SettingsError(f"crossed is {self.crossed}; it must be 0, or 2 or more parts.")
        for name in ("speed", "gain", "reverb_time", "snr", "codec_bitrate"):
            low, high = getattr(self, name)
            if low > high:
                raise SettingsError(f"{name} is from {low} to {high}; the lower end must come first.")
        for name in ("speed", "reverb_time", "codec_bitrate"):
            if getattr(self, name)[0] <= 0:
                raise SettingsError(f"{name} begins at {getattr(self, name)[0]}; it must be above 0.")
        if not re.fullmatch(TUNES, self.tune):
            raise SettingsError(
                f"tune is '{self.tune}'; expected full, frozen, head, top-k:N (N from 1), lora or adalora."
            )

    @classmethod
    def fine_tune(cls, **changes: object) -> "TrainConfig":
        """For tens to hundreds of new recordings, from a trained model: gentle, and quick on one thread."""
        values: dict[str, object] = {
            "epochs": 30,
            "batch_size": 16,
            "learning_rate": 1e-3,
            "weight_decay": 0.01,
            "variants": 3,
            "mixup_probability": 0.3,
            "ema_decay": 0.95,
            "frozen_blocks": 3,
            "freeze_norms": True,
            "anchor": 0.01,
            "threads": 1,
        }
        return cls(**{**values, **changes})  # type: ignore[arg-type]

    @classmethod
    def tune_encoder(cls, **changes: object) -> "TrainConfig":
        """For a pretrained encoder of others: small steps, as its weights know more than the examples do."""
        values: dict[str, object] = {
            "epochs": 5,
            "batch_size": 8,
            "learning_rate": 5e-5,
            "warmup": 0.1,
            "weight_decay": 0.01,
            "max_duration": 6.0,
            "mixup": 0.0,
            # A second copy of a large model is dear, and a few thousand small steps gain little by it.
            "ema_decay": 0.0,
        }
        return cls(**{**values, **changes})  # type: ignore[arg-type]

    @classmethod
    def tiny(cls, **changes: object) -> "TrainConfig":
        """A network and a run small enough for tests: seconds, and no accuracy to speak of."""
        values: dict[str, object] = {
            "epochs": 3,
            "batch_size": 8,
            "variants": 1,
            "ema_decay": 0.5,
            "autocast": False,
            "threads": 1,
            "network": {
                "members": [{}],
                "mel_channels": (4, 4),
                "pitch_channels": (4, 4),
                "width": 16,
                "dilations": (1, 2),
                "attention_size": 8,
                "embedding_size": 16,
            },
        }
        return cls(**{**values, **changes})  # type: ignore[arg-type]


def _require_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} is '{value}'; expected one of {', '.join(allowed)}.")
