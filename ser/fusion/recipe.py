"""The fit of the shipped fusion: `python -m ser.fusion.recipe --data DIR [--text-model MODEL] [--seed N]`.

Real clips with their recognised words, which say nothing in acted corpora, and the same voices paired with held-out
sentences: of the same emotion, and neutral ones. What it prints is written into `ser.fusion.rule` by hand.
"""

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from ser.audio.decoding import decode_file
from ser.audio.vad import SileroDetector
from ser.config import EMBEDDED, Settings
from ser.corpora import read_corpus
from ser.encoder.loading import load_encoder
from ser.errors import SerError, TrainingDataError
from ser.evaluation.metrics import uar
from ser.fusion.fitting import AnsweredClip, answer, log_losses
from ser.fusion.remarks import abstention
from ser.fusion.rule import PARAMETERS, FusionRule
from ser.labels import EMOTIONS, to_emotion
from ser.protocols import TextModel
from ser.text.classifier import load_text_model
from ser.text.data import RecogniserNoise, read_labelled_texts
from ser.text.recipe import split_dialogues
from ser.training.embeddings import EmbeddingPlan, embed_examples
from ser.training.heads import HeadConfig, fit_head
from ser.training.recipe import RESERVED_SPEAKERS
from ser.transcription import load_transcriber
from ser.types import EmotionScores, Example, Segment, Transcript

CORPORA = ("ravdess", "cremad")
CLIPS, TRANSCRIBED = 450, 300
"""Clips drawn from each corpus; of all of them, those that are transcribed."""

NOISE_SHARE, NOISE_RATE = 0.6, 0.2
"""Share of the sentences with errors of a recogniser, and the largest share of wrong words in one."""

MAX_WORDS = 25
"""Longer sentences are rare in a clip."""

GROUP_WEIGHTS = {"own words": 1.0, "words of the emotion": 1.0, "neutral words": 2.0}
"""Neutral words count more: they are most of what is said, whatever is felt."""

SILENT_GROUPS = ("own words", "neutral words")
MAX_DROP = 0.005
"""Unweighted average recall that the words may cost where they say nothing."""

TEMPERATURES = (1.0, 1.2, 1.4, 1.6)

FOLDS = 5
"""Parts of the speakers, each predicted by a head that was fitted on the others."""

Groups = Mapping[str, Sequence[AnsweredClip]]


@dataclass(frozen=True)
class ClipEvidence:
    """Scores and transcript of a clip that the acoustic head was not fitted on.

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


def pair_with_words(clips: Sequence[ClipEvidence], text: TextModel, root: Path, seed: int) -> Groups:
    """Give each voice its own words, a sentence of its emotion, and a neutral one.

    Args:
        clips: voices by held-out heads, some with transcripts.
        text: reads all words.
        root: with `goemotions-28`, `dailydialog` and `dialog-causes`, whose held-out sentences are used.
        seed: of the draws.

    Returns:
        `own words`, `words of the emotion` and `neutral words`.
    """
    rng = random.Random(seed)
    sentences = _held_out_sentences(root)
    noise = RecogniserNoise([sentence for some in sentences.values() for sentence in some])
    confidences = [clip.transcript.confidence for clip in clips if clip.transcript and clip.transcript.confidence]

    def spoken(label: str) -> Transcript:
        sentence = rng.choice(sentences[label])
        if rng.random() < NOISE_SHARE:
            sentence = noise(sentence, rng.uniform(0.0, NOISE_RATE), rng)
        return Transcript(sentence, "en", (Segment(0.0, 1.0, sentence, rng.choice(confidences)),), "held-out sentences")

    own = [(clip, clip.transcript) for clip in clips if clip.transcript is not None]
    same = [(clip, spoken(clip.truth)) for clip in clips]
    plain = [(clip, spoken("neutral")) for clip in clips]
    groups = {"own words": own, "words of the emotion": same, "neutral words": plain}
    return {name: [_answered(clip, words, text) for clip, words in pairs] for name, pairs in groups.items()}


def choose_shipped_rule(groups: Groups) -> FusionRule:
    """Choose the temperature of the words with the least cross entropy that spares the voice where words say nothing.

    The voice's scores stay as its head gives them. Each group counts as `GROUP_WEIGHTS` says.

    Raises:
        TrainingDataError: if every temperature costs more than `MAX_DROP` there.
    """
    allowed: list[tuple[float, FusionRule]] = []
    for temperature in TEMPERATURES:
        rule = FusionRule(text_temperature=temperature)
        measured = figures(rule, groups)
        if all(measured[name]["voice_uar"] - measured[name]["fused_uar"] <= MAX_DROP for name in SILENT_GROUPS):
            allowed.append((sum(GROUP_WEIGHTS[name] * measured[name]["fused_nats"] for name in groups), rule))
    if not allowed:
        raise TrainingDataError("Every temperature of the words costs too much where they say nothing; see `figures`.")
    return min(allowed, key=lambda found: found[0])[1]


def figures(rule: FusionRule, groups: Groups) -> dict[str, dict[str, float]]:
    """Unweighted average recall of the voice alone and of the fused answers, and both cross entropies, by group."""
    silent = replace(rule, max_weight=0.0)
    found = {}
    for name, clips in groups.items():
        truth = [max(clip.truth, key=lambda label, clip=clip: clip.truth[label]) for clip in clips]  # type: ignore[misc]
        recalls = [uar(truth, [answer(r, clip).label for clip in clips], EMOTIONS) for r in (silent, rule)]
        losses = [float(log_losses(r, clips).mean()) for r in (silent, rule)]
        used = sum(rule.join(c.acoustic, c.text, c.transcript)[1] > 0 for c in clips if c.text and c.transcript)
        found[name] = {
            "clips": len(clips),
            "voice_uar": round(recalls[0], 4),
            "fused_uar": round(recalls[1], 4),
            "voice_nats": round(losses[0], 4),
            "fused_nats": round(losses[1], 4),
            "words_used": used,
        }
    return found


def _held_out_sentences(root: Path) -> dict[str, list[str]]:
    _, dialogues = split_dialogues(root)
    found: dict[str, list[str]] = defaultdict(list)
    for texts in (read_labelled_texts(root / "goemotions-28" / "dev.csv"), dialogues):
        for text, labels in zip(texts.texts, texts.labels, strict=True):
            if len(labels) == 1 and len(text.split()) <= MAX_WORDS:
                found[labels[0]].append(text)
    return found


def _answered(clip: ClipEvidence, words: Transcript, text: TextModel) -> AnsweredClip:
    if abstention(words, text.languages) is not None:
        return AnsweredClip(clip.acoustic, None, None, {clip.truth: 1.0})
    return AnsweredClip(clip.acoustic, text.classify(words.text), words, {clip.truth: 1.0})


def main(argv: Sequence[str] | None = None) -> int:
    """Collect evidence, fit, and print the rule and its figures; 0 if done, 2 if something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m ser.fusion.recipe", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="with the corpora and sentences")
    parser.add_argument("--text-model", default=EMBEDDED, metavar="MODEL", help="embedded, a folder or a Hub id")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default 0)")
    options = parser.parse_args(argv)
    try:
        folders = [options.data / name for name in CORPORA]
        clips = collect_evidence(folders, clips=CLIPS, transcribed=TRANSCRIBED, seed=options.seed)
        text = load_text_model(options.text_model)
        assert text is not None, "a text model is named"
        groups = pair_with_words(clips, text, options.data, options.seed)
        rule = choose_shipped_rule(groups)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    values = {key: round(getattr(rule, key), 3) for key in PARAMETERS}
    print(json.dumps({"rule": values, "figures": figures(rule, groups)}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
