"""Held-out evidence for the fusion of voice and words: what both said of clips that the acoustic head never saw.

Needs corpora, the encoder and the transcriber; the text model reads the transcripts later, so that a new one needs no
new evidence.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ser.audio import decode_file
from ser.config import EMBEDDED, Settings
from ser.corpora import read_corpus
from ser.encoder.loading import load_encoder
from ser.errors import TrainingDataError
from ser.labels import EMOTIONS, to_emotion
from ser.training.embeddings import EmbeddingPlan, embed_examples
from ser.training.heads import HeadConfig, fit_head
from ser.training.recipe import RESERVED_SPEAKERS
from ser.transcription import load_transcriber
from ser.types import EmotionScores, Example, Segment, Transcript
from ser.vad import SileroDetector

FOLDS = 5
"""Parts of the speakers, each predicted by a head that was fitted on the others."""


@dataclass(frozen=True)
class ClipEvidence:
    """What was found of a clip.

    Attributes:
        corpus: of the clip.
        truth: its label.
        acoustic: scores by a head fitted on other speakers.
        transcript: what was recognised; None if the clip was only embedded.
    """

    corpus: str
    truth: str
    acoustic: EmotionScores
    transcript: Transcript | None


def collect_evidence(
    folders: Sequence[Path], *, clips: int, transcribed: int, seed: int = 0, exclude: Sequence[str] = RESERVED_SPEAKERS
) -> list[ClipEvidence]:
    """Embed and transcribe clips drawn from corpora, and score each by a head fitted on other speakers.

    Args:
        folders: of the corpora.
        clips: drawn from each.
        transcribed: of these, so many are transcribed as well.
        seed: of the draw.
        exclude: speakers whose clips are left alone.

    Raises:
        TrainingDataError: if a corpus has no clip of another speaker.
    """
    examples = [example for folder in folders for example in _drawn(folder, clips, seed, exclude)]
    data = embed_examples(examples, EmbeddingPlan(labels=EMOTIONS, workers=1))
    by_path = {str(example.path): example for example in examples}
    examples = [by_path[path] for path in data.paths]
    speakers = sorted(set(data.speakers))
    random.Random(seed).shuffle(speakers)
    scores: dict[int, EmotionScores] = {}
    sha256 = load_encoder(EMBEDDED).sha256
    for fold in range(FOLDS):
        held_out = set(speakers[fold::FOLDS])
        rows = [row for row, speaker in enumerate(data.speakers) if speaker in held_out]
        others = [row for row in range(len(data)) if row not in set(rows)]
        head = fit_head(data.take(others), HeadConfig(seed=seed), encoder=EMBEDDED, encoder_sha256=sha256)
        for row, values in zip(rows, head.probabilities(data.plain[rows]), strict=True):
            scores[row] = EmotionScores(tuple((values / values.sum()).tolist()))
    chosen = set(random.Random(seed).sample(range(len(examples)), min(transcribed, len(examples))))
    transcripts = _transcribed([examples[row] for row in sorted(chosen)])
    words = dict(zip(sorted(chosen), transcripts, strict=True))
    return [
        ClipEvidence(example.corpus, _truth(example), scores[row], words.get(row))
        for row, example in enumerate(examples)
    ]


def _drawn(folder: Path, clips: int, seed: int, exclude: Sequence[str]) -> list[Example]:
    known = [
        example
        for example in read_corpus(folder).examples
        if example.speaker not in exclude and isinstance(example.label, str) and to_emotion(example.label)
    ]
    if not known:
        raise TrainingDataError(f"{folder} has no labelled clip of a speaker who is not left out.")
    return random.Random(seed).sample(known, min(clips, len(known)))


def _truth(example: Example) -> str:
    emotion = to_emotion(example.hard_label)
    assert emotion is not None, "clips of other labels are not drawn"
    return emotion


def _transcribed(examples: Sequence[Example]) -> list[Transcript | None]:
    transcriber, detector = load_transcriber(Settings(transcriber=EMBEDDED)).transcriber, SileroDetector()
    assert transcriber is not None, "the embedded transcriber is always there"
    found: list[Transcript | None] = []
    for example in tqdm(examples, "transcribe", unit="clip", disable=None):
        audio = decode_file(example.path)
        speech = detector.detect(audio)
        found.append(transcriber.transcribe(audio, speech) if speech else None)
    return found


def save_evidence(evidence: Sequence[ClipEvidence], path: Path) -> None:
    """Write evidence as JSON."""
    rows = [
        {
            "corpus": clip.corpus,
            "truth": clip.truth,
            "acoustic": [round(p, 6) for p in clip.acoustic.probabilities],
            "transcript": None
            if clip.transcript is None
            else {
                "text": clip.transcript.text,
                "language": clip.transcript.language,
                "source": clip.transcript.source,
                "segments": [[s.start, s.end, s.text, s.confidence] for s in clip.transcript.segments],
            },
        }
        for clip in evidence
    ]
    path.write_text(json.dumps(rows) + "\n", encoding="utf-8")


def load_evidence(path: Path) -> list[ClipEvidence]:
    """Read what `save_evidence` wrote.

    Raises:
        TrainingDataError: if the file is absent or damaged.
    """
    try:
        return [_clip(row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingDataError(f"{path} is no evidence for the fusion ({error!r}). Collect it again.") from error


def _clip(row: dict[str, object]) -> ClipEvidence:
    values = np.array(row["acoustic"], dtype=np.float64)
    told = row["transcript"]
    transcript = None
    if isinstance(told, dict):
        segments = tuple(Segment(*segment) for segment in told["segments"])
        transcript = Transcript(told["text"], told["language"], segments, told["source"])
    scores = EmotionScores(tuple((values / values.sum()).tolist()))
    return ClipEvidence(str(row["corpus"]), str(row["truth"]), scores, transcript)
