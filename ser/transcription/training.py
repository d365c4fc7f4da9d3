"""Fine-tunes a speech recognition checkpoint on corrected transcripts with LoRA, merged at the end.

Writes a folder in the form it was given, for `ser.transcription.checkpoint.load_checkpoint` to read. Knows no storage
and no raters.
"""

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoModelForSpeechSeq2Seq, AutoTokenizer

from ser.acoustic.checkpoint import quiet_loading
from ser.checkpoints.folder import META_FILE, current_commit, weights_sha256
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.text.data import as_transcript
from ser.transcription.checkpoint import is_ctranslate2, load_checkpoint
from ser.transcription.conversion import short_window, to_ctranslate2, to_transformers
from ser.transcription.ctc import CtcTranscriber
from ser.transcription.faster_whisper import SILENCE, WINDOW
from ser.types import SAMPLING_RATE, Audio

MIN_CLIPS = 20

LONGEST = 28.0
"""Seconds; what is transcribed at once (see `ser.transcription.chunks`). A longer clip's transcript has no times to
cut it by."""

ADAPTED_LAYERS = ("q_proj", "v_proj")
"""Source: Hu et al. 2021, "LoRA", https://arxiv.org/abs/2106.09685, section 4.2: queries and values are enough."""

WEIGHTS = ("*.safetensors", "*.bin", "*.index.json", "*.h5", "*.msgpack", "*.onnx", "*.pt", META_FILE)
"""What is not taken over from the checkpoint that training began with."""


@dataclass(frozen=True)
class SpokenText:
    """A recording and what is said in it; `language` as ISO 639-1, None where unknown."""

    audio: Audio
    text: str
    language: str | None = None


@dataclass(frozen=True)
class TranscriberTrainConfig:
    """How a speech recogniser is fine-tuned.

    Attributes:
        epochs: passes over the clips.
        batch_size: clips a step; they go through the network one after the other, which takes the least memory.
        learning_rate: of AdamW, falling linearly to 0.
        rank: of the matrices beside the weights.
        alpha: their product is scaled by alpha / rank.
    """

    epochs: int = 5
    batch_size: int = 8
    learning_rate: float = 1e-3
    rank: int = 8
    alpha: int = 16


def train_transcriber(
    folder: Path,
    clips: Sequence[SpokenText],
    out: Path,
    *,
    name: str,
    config: TranscriberTrainConfig | None = None,
    device: str = "cpu",
    seed: int = 0,
    data: Mapping[str, object] | None = None,
    on_step: Callable[[int, int, float], None] = lambda step, steps, loss: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """Train a checkpoint that writes words (Whisper and the like) or spells letters (wav2vec2 with CTC and the like).

    Args:
        folder: of the checkpoint to begin with: one of transformers, the embedded one, or one trained from that.
        clips: at least `MIN_CLIPS` with words; those over `LONGEST` seconds are left out.
        out: folder of the new checkpoint; made where absent.
        name: of it.
        config: the recipe.
        device: `cpu` or `cuda`.
        seed: of everything drawn.
        data: what its meta file is to say of the clips.
        on_step: told step, steps and loss after each step.
        should_stop: asked after each step.

    Returns:
        SHA-256 of the new weights.

    Raises:
        TrainingDataError: if there are too few clips, or the model has no layer that can be trained.
        TrainingCancelledError: if `should_stop` said so; nothing is written then.
        ModelUnavailableError: if the checkpoint is no speech recogniser, or damaged.
    """
    config = config or TranscriberTrainConfig()
    usable = [clip for clip in clips if as_transcript(clip.text) and clip.audio.duration <= LONGEST]
    check_count(len(usable))
    spells = isinstance(load_checkpoint(folder), CtcTranscriber)
    with tempfile.TemporaryDirectory(prefix="transcriber-") as temporary:
        base = folder
        if is_ctranslate2(folder):
            base = Path(temporary) / "base"
            to_transformers(folder, base)
        with quiet_loading():
            network = _fine_tune(base, spells, usable, config, device, seed, on_step, should_stop)
        if base is folder:
            shutil.copytree(folder, out, ignore=shutil.ignore_patterns(*WEIGHTS), dirs_exist_ok=True)
            network.save_pretrained(out)
        else:
            network.save_pretrained(base)
            to_ctranslate2(base, out, folder)
    return _write_meta(out, name, config, seed, {**(data or {}), "clips": len(usable)})


def _fine_tune(
    folder: Path,
    spells: bool,
    clips: Sequence[SpokenText],
    config: TranscriberTrainConfig,
    device: str,
    seed: int,
    on_step: Callable[[int, int, float], None],
    should_stop: Callable[[], bool],
) -> Any:
    """Train matrices beside a checkpoint's weights, and return its network with them merged."""
    torch.manual_seed(seed)
    trained = (_Speller if spells else _Writer)(folder, device)
    if not any(module.rpartition(".")[2] in ADAPTED_LAYERS for module, _ in trained.model.named_modules()):
        raise TrainingDataError(
            f"The speech recogniser in '{folder}' has no layers {' and '.join(ADAPTED_LAYERS)} to train. "
            "Name a Whisper or a wav2vec2 checkpoint."
        )
    lora = LoraConfig(r=config.rank, lora_alpha=config.alpha, target_modules=list(ADAPTED_LAYERS))
    network = get_peft_model(trained.model, lora)
    network.eval()  # no dropout: the clips are few, and the same seed is to give the same weights everywhere
    _steps(trained, network, clips, config, seed, on_step, should_stop)
    return network.merge_and_unload(safe_merge=True)


def check_count(clips: int) -> None:
    """Refuse too few clips with words.

    Raises:
        TrainingDataError: with the number needed.
    """
    if clips < MIN_CLIPS:
        raise TrainingDataError(
            f"{clips} clips of at most {LONGEST:.0f} s have a corrected transcript to train on; {MIN_CLIPS} "
            "are needed. Write the words of more clips while labelling them."
        )


class _Speller:
    """A network that spells letter by letter, and its loss on a clip."""

    def __init__(self, folder: Path, device: str) -> None:
        self.model: Any = AutoModelForCTC.from_pretrained(folder, use_safetensors=True, trust_remote_code=False)
        self.model.to(device)
        self.model.config.ctc_zero_infinity = True  # a clip with more letters than frames has no loss
        self.model.config.ctc_loss_reduction = "mean"
        self.extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        letters = set(self.tokenizer.get_vocab())
        self.capitals = "A" in letters and "a" not in letters
        self.letters = letters | {" "}

    def loss(self, network: Any, clip: SpokenText) -> Tensor:
        inputs = self.extractor(clip.audio.signal, sampling_rate=SAMPLING_RATE, return_tensors="pt")
        text = as_transcript(clip.text)
        spelled = "".join(letter for letter in (text.upper() if self.capitals else text) if letter in self.letters)
        labels = torch.tensor([self.tokenizer(spelled, add_special_tokens=False)["input_ids"]])
        answer: Tensor = network(**inputs.to(self.model.device), labels=labels.to(self.model.device)).loss
        return answer


class _Writer:
    """A network that writes words, and its loss on a clip."""

    def __init__(self, folder: Path, device: str) -> None:
        self.model: Any = AutoModelForSpeechSeq2Seq.from_pretrained(
            folder, use_safetensors=True, trust_remote_code=False
        ).to(device)
        self.extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=False)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        self.is_whisper = self.model.config.model_type == "whisper"
        self.longest = int(getattr(self.model.config, "max_target_positions", 448)) - 1

    def loss(self, network: Any, clip: SpokenText) -> Tensor:
        inputs = self.extractor(
            clip.audio.signal, sampling_rate=SAMPLING_RATE, return_tensors="pt", **self._length(clip.audio)
        ).to(self.model.device)
        # Whisper was trained on words with a space before them.
        text = f" {clip.text.strip()}" if self.is_whisper else clip.text.strip()
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        with short_window(self.model, inputs["input_features"].shape[-1]) if self.is_whisper else nullcontext():
            wanted = [*self._prompt(clip, inputs), *ids][: self.longest - 1] + [self.model.config.eos_token_id]
            labels = torch.tensor([wanted], device=self.model.device)
            answer: Tensor = network.get_base_model()(**inputs, labels=labels).loss
        return answer

    def _length(self, audio: Audio) -> dict[str, object]:
        """The window that a clip is transcribed in, as the extractor takes it: a third of Whisper's 30 s or so."""
        if not self.is_whisper:
            return {}
        stride = 2 * self.extractor.hop_length
        samples = stride * round(min(WINDOW, audio.duration + SILENCE) * SAMPLING_RATE / stride)
        return {"padding": "max_length", "max_length": samples}

    def _prompt(self, clip: SpokenText, inputs: Any) -> list[int]:
        """The marks that Whisper puts before the words: language, task, no times."""
        told = self.model.generation_config
        languages: Mapping[str, int] = getattr(told, "lang_to_id", None) or {}
        if not self.is_whisper:
            return []
        marks = []
        if languages:
            known = languages.get(f"<|{(clip.language or '').lower()}|>")
            with torch.no_grad():
                spoken = known if known is not None else int(self.model.detect_language(inputs["input_features"])[0])
            marks = [spoken, told.task_to_id["transcribe"]]
        untimed = getattr(told, "no_timestamps_token_id", None)
        return marks if untimed is None else [*marks, untimed]


def _steps(
    trained: _Speller | _Writer,
    network: Any,
    clips: Sequence[SpokenText],
    config: TranscriberTrainConfig,
    seed: int,
    on_step: Callable[[int, int, float], None],
    should_stop: Callable[[], bool],
) -> None:
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.0)
    steps, step = config.epochs * math.ceil(len(clips) / config.batch_size), 0
    rng = np.random.default_rng(seed)
    for _ in range(config.epochs):
        order = rng.permutation(len(clips))
        for first in range(0, len(order), config.batch_size):
            rows, total = order[first : first + config.batch_size], 0.0
            optimizer.zero_grad()
            for row in rows:
                loss = trained.loss(network, clips[row]) / len(rows)
                loss.backward()
                total += float(loss.detach())
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * (1 - step / steps)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            step += 1
            on_step(step, steps, total)
            if should_stop():
                raise TrainingCancelledError("Training of the speech recogniser was cancelled; nothing was written.")


def _write_meta(out: Path, name: str, config: TranscriberTrainConfig, seed: int, data: Mapping[str, object]) -> str:
    sha256 = weights_sha256(out)
    meta = {
        "name": name,
        "kind": "speech-recogniser",
        "labels": [],
        "temperature": 1.0,
        "config": asdict(config),
        "seed": seed,
        "git_commit": current_commit(),
        "sha256": sha256,
        "data": dict(data),
        "metrics": {},
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (out / META_FILE).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    return sha256
