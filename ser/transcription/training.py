"""Fine-tunes a speech recognition checkpoint on corrected transcripts with LoRA, merged at the end.

Writes a folder in the form it was given, for `ser.transcription.checkpoint.load_checkpoint` to read.
"""

import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import AutoFeatureExtractor, AutoModelForCTC, AutoModelForSpeechSeq2Seq, AutoTokenizer

from ser.checkpoints.folder import META_FILE, Meta, save_checkpoint
from ser.checkpoints.pretrained import LOCAL, quiet_loading
from ser.config import LoopConfig
from ser.errors import TrainingDataError
from ser.text.data import as_transcript
from ser.training.gradients.engine import optimise
from ser.training.gradients.task import Places, Surroundings, Task
from ser.transcription.checkpoint import is_ctranslate2, load_checkpoint
from ser.transcription.conversion import short_window, to_ctranslate2, to_transformers
from ser.transcription.faster_whisper import SILENCE, WINDOW
from ser.transcription.transformers_form import CtcTranscriber
from ser.types import SAMPLING_RATE, Audio

MIN_CLIPS = 20

LONGEST = 28.0
"""Seconds; what is transcribed at once (see `ser.transcription.faster_whisper`). A longer clip's transcript has no
times to cut it by."""

ADAPTED_LAYERS = ("q_proj", "v_proj")
"""Source: Hu et al. 2021, "LoRA", https://arxiv.org/abs/2106.09685, section 4.2: queries and values are enough."""

WEIGHTS = ("*.safetensors", "*.bin", "*.index.json", "*.h5", "*.msgpack", "*.onnx", "*.pt", META_FILE)
"""Files that are not taken over from the checkpoint that training began with."""


@dataclass(frozen=True)
class SpokenText:
    """A recording and what is said in it; `language` as ISO 639-1, None if unknown."""

    audio: Audio
    text: str
    language: str | None = None


@dataclass(frozen=True)
class TranscriberTrainConfig(LoopConfig):
    """Settings of a speech recogniser's fine-tuning; clips go through it one by one, which takes the least memory."""

    tune: str = "lora"
    accumulation: int = 8
    learning_rate: float = 1e-3
    warmup: float = 0.0
    weight_decay: float = 0.0
    autocast: bool = False


def train_transcriber(
    folder: Path,
    clips: Sequence[SpokenText],
    out: Path,
    *,
    name: str,
    around: Surroundings,
    config: TranscriberTrainConfig | None = None,
    data: Mapping[str, object] | None = None,
) -> Meta:
    """Train a checkpoint that writes words (Whisper and the like) or spells letters (wav2vec2 with CTC and the like).

    Args:
        folder: of the checkpoint to begin with: one of transformers, the embedded one, or one trained from that.
        clips: at least `MIN_CLIPS` with words; those over `LONGEST` seconds are left out.
        out: folder of the new checkpoint; must not exist yet, or be empty.
        name: of it.
        around: of the run.
        config: the recipe.
        data: what meta.json is to say of the clips.

    Raises:
        TrainingDataError: if there are too few clips, or the model has no layer that can be trained.
        TrainingCancelledError: if asked to stop; nothing is written then.
        ModelUnavailableError: if the checkpoint is no speech recogniser, or damaged.
    """
    config = config or TranscriberTrainConfig()
    usable = [clip for clip in clips if as_transcript(clip.text) and clip.audio.duration <= LONGEST]
    check_count(len(usable))
    spells = isinstance(load_checkpoint(folder), CtcTranscriber)
    meta = Meta(name, (), config=asdict(config), data={**(data or {}), "clips": len(usable)})
    with tempfile.TemporaryDirectory(prefix="transcriber-") as temporary:
        base = folder
        if is_ctranslate2(folder):
            base = Path(temporary) / "base"
            to_transformers(folder, base)
        with quiet_loading():
            network = _fine_tune(base, spells, usable, config, around)

        def write(place: Path) -> None:
            if base is folder:
                for path in folder.iterdir():
                    if path.is_file() and not any(path.match(pattern) for pattern in WEIGHTS):
                        shutil.copyfile(path, place / path.name)
                network.save_pretrained(place)
            else:
                network.save_pretrained(base)
                to_ctranslate2(base, place, folder)

        return save_checkpoint(out, write, meta, None)


def check_count(clips: int) -> None:
    """Refuse too few clips with words.

    Raises:
        TrainingDataError: with the number needed.
    """
    if clips < MIN_CLIPS:
        raise TrainingDataError(
            f"Clips of at most {LONGEST:.0f} s with a corrected transcript to train on: {clips}; {MIN_CLIPS} "
            "are needed. Write the words of more clips while labelling them."
        )


def _fine_tune(
    folder: Path, spells: bool, clips: Sequence[SpokenText], config: TranscriberTrainConfig, around: Surroundings
) -> Any:
    """Train LoRA on a checkpoint, and return its network with the updates merged."""
    set_seed(config.seed)
    task = (_Speller if spells else _Writer)(folder, clips, config, around.processes.device)
    if not any(module.rpartition(".")[2] in ADAPTED_LAYERS for module, _ in task.model.named_modules()):
        raise TrainingDataError(
            f"The speech recogniser in '{folder}' has no layers {' and '.join(ADAPTED_LAYERS)} to train. "
            "Name a Whisper or a wav2vec2 checkpoint."
        )
    rank = config.lora_rank
    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(ADAPTED_LAYERS))
    network = get_peft_model(task.model, lora)
    optimise(network, task, config, around)
    return network.merge_and_unload(safe_merge=True).cpu()


class _TranscriberTask(Task):
    """Clips with their words; a network computes its own loss on each."""

    # The clips are few, and the same seed is to give the same weights everywhere.
    dropout = False

    def __init__(self, kind: Any, folder: Path, clips: Sequence[SpokenText], config: LoopConfig, device: str) -> None:
        super().__init__(len(clips), config)
        self.clips = clips
        self.model: Any = kind.from_pretrained(folder, use_safetensors=True, **LOCAL).to(device)
        self.extractor = AutoFeatureExtractor.from_pretrained(folder, **LOCAL)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, **LOCAL)

    def draw(self, places: Places, epoch: int, step: int, part: int) -> list[SpokenText]:
        """Take the clips."""
        return [self.clips[place] for place in places]

    def weights(self, batch: list[SpokenText]) -> Tensor:
        """Weigh all clips alike."""
        return torch.ones(len(batch))

    def losses(self, model: Any, batch: list[SpokenText]) -> Tensor:
        """Compute the network's own loss on each clip."""
        return torch.stack([self.loss(model, clip) for clip in batch])

    @abstractmethod
    def loss(self, network: Any, clip: SpokenText) -> Tensor:
        """Compute the loss of a clip's words."""


class _Speller(_TranscriberTask):
    """Training of a network that spells letter by letter."""

    def __init__(self, folder: Path, clips: Sequence[SpokenText], config: LoopConfig, device: str) -> None:
        super().__init__(AutoModelForCTC, folder, clips, config, device)
        # A clip with more letters than frames has no loss.
        self.model.config.ctc_zero_infinity = True
        self.model.config.ctc_loss_reduction = "mean"
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


class _Writer(_TranscriberTask):
    """Training of a network that writes words."""

    def __init__(self, folder: Path, clips: Sequence[SpokenText], config: LoopConfig, device: str) -> None:
        super().__init__(AutoModelForSpeechSeq2Seq, folder, clips, config, device)
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
        """Name the window that a clip is transcribed in, as the extractor takes it: a third of Whisper's 30 s or so."""
        if not self.is_whisper:
            return {}
        stride = 2 * self.extractor.hop_length
        samples = stride * round(min(WINDOW, audio.duration + SILENCE) * SAMPLING_RATE / stride)
        return {"padding": "max_length", "max_length": samples}

    def _prompt(self, clip: SpokenText, inputs: Any) -> list[int]:
        """List the marks that Whisper puts before the words: language, task, no times."""
        settings = self.model.generation_config
        languages: Mapping[str, int] = getattr(settings, "lang_to_id", None) or {}
        if not self.is_whisper:
            return []
        marks = []
        if languages:
            known = languages.get(f"<|{(clip.language or '').lower()}|>")
            with torch.no_grad():
                spoken = known if known is not None else int(self.model.detect_language(inputs["input_features"])[0])
            marks = [spoken, settings.task_to_id["transcribe"]]
        untimed = getattr(settings, "no_timestamps_token_id", None)
        return marks if untimed is None else [*marks, untimed]
