"""Transcribes with Whisper in CTranslate2's form: the embedded weights, or a folder that faster-whisper reads.

Imports neither torch nor transformers. Decides a recording's windows and what counts as no speech; the spectrogram,
the search and the alignment are faster-whisper's.
"""

import re
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import numpy.typing as npt
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import TranscriptionOptions, get_suppressed_tokens

from ser.errors import ModelUnavailableError
from ser.transcription.windows import REGION_MARGIN, cut_recording, halve_window
from ser.types import SAMPLING_RATE, Audio, Segment, Signal, SpeechRegion, Transcript

SILENCE = 12.0
"""Seconds of silence after a clip in its window: the words of Whisper's own 30 s in a third of the time. With 5 s or
less it repeats itself without end (benchmarks/README.md, "Words")."""

WINDOW = 30.0
"""Seconds, clip and silence together; the encoder has no positions beyond.

Source: Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision",
https://arxiv.org/abs/2212.04356, section 2.2."""

BEAM_SIZE = 5

MIN_LOG_PROBABILITY, MIN_REPEATED_LOG_PROBABILITY, MIN_MARGIN = -0.75, -0.5, -1.0
"""Limits of a window's mean log probability of a token: in general, where words repeat, and less the probability of no
speech. Below them words are invented. Chosen on 36 sounds of ESC-10 that pass the speech detector and on 232 clips of
speech, 60 of them in noise of 0 and 5 dB: at 0 dB one clip of speech is lost, else none (benchmarks/README.md)."""

MAX_COMPRESSION_RATIO = 2.4
"""Text that compresses better repeats itself. Source: https://github.com/openai/whisper, transcribe.py,
`compression_ratio_threshold`."""

NO_REPEAT_NGRAM_SIZE = 3
"""Tokens in a row that may not come again in the second search for a window whose text repeats itself. In place of
Whisper's sampling at higher temperatures, which answers differently each time."""

SHORT_WINDOW = 10.0
"""Seconds. Longer windows whose text repeats itself are halved in a pause: people do say the same sentence again, and
a search that runs in circles in a long window rarely does in a short one."""

EXTRA_TOKENS, TOKENS_PER_SECOND = 20, 12
"""Bound on a window's tokens: hasty speech has some six words a second of 1.3 tokens each; more is repetition."""

UNSPACED = ("zh", "ja", "th", "lo", "my", "yue")
"""Languages written without spaces. Source: faster-whisper 1.2, `Tokenizer.split_to_word_tokens`."""

PREPENDED, APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"
"""Punctuation that belongs to the next word, and to the one before. Source: faster-whisper 1.2, `transcribe`."""


class FasterWhisperTranscriber:
    """A `Transcriber`; safe to call from several threads, which wait for each other inside CTranslate2.

    Args:
        folder: with `model.bin`, `config.json`, `tokenizer.json` and a vocabulary.
        name: for people; by default the folder's.
        device: `cpu`, `cuda`, or `auto` for CUDA if there is any.
        threads: of the CPU.
        language: ISO 639-1 code of what is spoken; None to detect it, if the model knows several.
    """

    def __init__(
        self,
        folder: Path,
        name: str | None = None,
        device: str = "cpu",
        *,
        threads: int = 1,
        language: str | None = None,
    ) -> None:
        self.name = name or folder.name
        self._folder = folder
        self._device = device
        self._threads = threads
        self._language = language
        self._lock = threading.Lock()

    def load(self) -> "FasterWhisperTranscriber":
        """Load the model now; otherwise the first recording does.

        Raises:
            ModelUnavailableError: if the folder is incomplete or damaged, or holds another kind of model.
        """
        with self._lock:
            _ = self._model
        return self

    def transcribe(self, audio: Audio, regions: Sequence[SpeechRegion]) -> Transcript:
        """Transcribe a recording; words far from any region of speech are left out.

        Args:
            audio: of any length; transcribed whole up to 28 s, as cuts close to speech lose words.
            regions: where speech is; without any there are no words.

        Raises:
            ModelUnavailableError: at the first call, as `load`.
        """
        language, words = self._language, list[Segment]()
        windows = deque(cut_recording(regions, audio.duration))
        while windows:
            window = windows.popleft()
            self.load()
            language = language or (None if self._model.model.is_multilingual else "en")
            inside = [r for r in regions if r.end > window.start and r.start < window.end]
            part = audio.crop(window.start, window.end)
            encoded = self._model.encode(self._features(part.signal))
            language = language or self._detect_language(encoded)
            parts = halve_window(window, inside) if part.duration > SHORT_WINDOW else ()
            speech = _shift(inside, -window.start)
            found = self._words(encoded, part.duration, language, speech, divisible=bool(parts))
            if found is None:
                windows.extendleft(reversed(parts))
            else:
                words += [word for word in as_segments(found, window, language) if _is_near(word, inside)]
        between = "" if language in UNSPACED else " "
        return Transcript(between.join(word.text for word in words), language, tuple(words), self.name)

    @cached_property
    def _model(self) -> WhisperModel:
        return load_model(self._folder, self._device, self._threads)

    def _features(self, signal: Signal) -> npt.NDArray[np.float32]:
        """Log-mel spectrogram of a clip and the silence after it, shape (mels, frames), frames even."""
        extractor = self._model.feature_extractor
        features = extractor(np.pad(signal, (0, 2 * extractor.n_fft)), padding=0)
        seconds = min(WINDOW, len(signal) / SAMPLING_RATE + SILENCE)
        frames = 2 * round(seconds * self._model.frames_per_second / 2)
        # The last frame is of zeros only: so is every frame of the silence.
        return np.pad(features, ((0, 0), (0, max(0, frames - features.shape[1]))), mode="edge")[:, :frames]

    def _detect_language(self, encoded: ctranslate2.StorageView) -> str:
        return str(self._model.model.detect_language(encoded)[0][0][0]).strip("<|>")

    def _words(
        self,
        encoded: ctranslate2.StorageView,
        duration: float,
        language: str,
        speech: Sequence[SpeechRegion],
        *,
        divisible: bool,
    ) -> list[dict[str, Any]] | None:
        """Search the likeliest words of a window and align them; none where they are no speech.

        None if they repeat themselves and the window is divisible.
        """
        model = self._model
        tokenizer = Tokenizer(model.hf_tokenizer, model.model.is_multilingual, "transcribe", language)
        prompt = model.get_prompt(tokenizer, [], without_timestamps=True)
        max_tokens = EXTRA_TOKENS + round(TOKENS_PER_SECOND * duration)
        for ngram_size in (0, NO_REPEAT_NGRAM_SIZE):
            options = _search_options(tokenizer, max_tokens, ngram_size)
            result, log_probability, _, ratio = model.generate_with_fallback(encoded, prompt, tokenizer, options)
            text = tokenizer.decode(result.sequences_ids[0])
            if divisible and (ratio > MAX_COMPRESSION_RATIO or repeats_itself(text)):
                return None
            if ratio <= MAX_COMPRESSION_RATIO:
                break
        if ratio > MAX_COMPRESSION_RATIO or not is_speech(text, log_probability, result.no_speech_prob):
            return []
        segment = {"seek": 0, "start": speech[0].start, "end": speech[-1].end, "tokens": result.sequences_ids[0]}
        frames = round(duration * model.frames_per_second)
        model.add_word_timestamps([[segment]], tokenizer, encoded, frames, PREPENDED, APPENDED, 0.0)
        words: list[dict[str, Any]] = segment["words"]
        return words


def is_speech(text: str, log_probability: float, no_speech_probability: float) -> bool:
    """Decide whether a window's words were said.

    Args:
        text: of the window.
        log_probability: of a token, mean.
        no_speech_probability: 0..1.

    >>> is_speech(" Help me!", -0.3, 0.1), is_speech(" No, no, no, no!", -0.6, 0.3), is_speech(" Yeah.", -0.6, 0.7)
    (True, False, False)
    """
    lowest = MIN_REPEATED_LOG_PROBABILITY if repeats_itself(text) else MIN_LOG_PROBABILITY
    return log_probability >= lowest and log_probability - no_speech_probability >= MIN_MARGIN


def repeats_itself(text: str) -> bool:
    """Tell whether at least half of a text's words are repeated ones.

    >>> repeats_itself("No, no, no, no!"), repeats_itself("No, no!"), repeats_itself("Dogs are sitting by the door.")
    (True, False, False)
    """
    words = re.findall(r"\w+", text.lower())
    return len(words) >= 4 and 2 * len(set(words)) <= len(words)


def as_segments(words: Sequence[Mapping[str, Any]], window: SpeechRegion, language: str) -> list[Segment]:
    """Turn faster-whisper's words into segments with times in the recording; parts of one word are joined.

    >>> words = [("a", 0.0, 0.1, 1.0), (" well", 0.1, 0.3, 1.0), ("-known", 0.3, 0.5, 0.5)]
    >>> words = [dict(zip(("word", "start", "end", "probability"), word)) for word in words]
    >>> [(word.text, word.end, word.confidence) for word in as_segments(words, SpeechRegion(4.0, 9.0), "en")]
    [('a', 4.1, 1.0), ('well-known', 4.5, 0.75)]
    """
    groups: list[list[Mapping[str, Any]]] = []
    for word in words:
        if groups and language not in UNSPACED and not word["word"].startswith(" "):
            groups[-1].append(word)
        elif word["word"].strip():
            groups.append([word])
    segments = []
    for group in groups:
        start = min(window.end, window.start + float(group[0]["start"]))
        end = min(window.end, max(start, window.start + float(group[-1]["end"])))
        confidence = float(np.clip(np.mean([word["probability"] for word in group]), 0.0, 1.0))
        segments.append(Segment(start, end, "".join(word["word"] for word in group).strip(), confidence))
    return segments


def _is_near(word: Segment, regions: Sequence[SpeechRegion]) -> bool:
    return any(word.start < r.end + REGION_MARGIN and word.end > r.start - REGION_MARGIN for r in regions)


def load_model(folder: Path, device: str, threads: int) -> WhisperModel:
    """Load a folder in 8-bit integers on the CPU, and in half precision on CUDA.

    Raises:
        ModelUnavailableError: if CTranslate2 cannot use it.
    """
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    try:
        return WhisperModel(
            str(folder), device, compute_type="int8" if device == "cpu" else "float16", cpu_threads=threads
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelUnavailableError(
            f"The speech recognition model in '{folder}' cannot be loaded: {str(error).strip()}. "
            "Take it from its source again, or name another one."
        ) from error


def _shift(regions: Sequence[SpeechRegion], seconds: float) -> list[SpeechRegion]:
    return [SpeechRegion(region.start + seconds, region.end + seconds) for region in regions]


def _search_options(tokenizer: Tokenizer, max_tokens: int, no_repeat_ngram_size: int) -> TranscriptionOptions:
    """Build the options that `generate_with_fallback` reads; those of whole files have no effect there."""
    return TranscriptionOptions(
        beam_size=BEAM_SIZE,
        best_of=5,
        patience=1.0,
        length_penalty=1.0,
        repetition_penalty=1.0,
        no_repeat_ngram_size=no_repeat_ngram_size,
        log_prob_threshold=None,
        no_speech_threshold=None,
        compression_ratio_threshold=None,
        condition_on_previous_text=False,
        prompt_reset_on_temperature=0.5,
        temperatures=[0.0],
        initial_prompt=None,
        prefix=None,
        suppress_blank=True,
        suppress_tokens=list(get_suppressed_tokens(tokenizer, [-1])),
        without_timestamps=True,
        max_initial_timestamp=1.0,
        word_timestamps=True,
        prepend_punctuations=PREPENDED,
        append_punctuations=APPENDED,
        multilingual=False,
        max_new_tokens=min(max_tokens, 440),
        clip_timestamps=[],
        hallucination_silence_threshold=None,
        hotwords=None,
    )
