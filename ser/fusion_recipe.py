"""The fit of the shipped fusion: `python -m ser.fusion_recipe --data DIR --out DIR [--evidence FILE] [--seed N]`.

Real clips with their recognised words, which say nothing in acted corpora, and the same voices paired with held-out
sentences: of the same emotion, and neutral ones.
"""

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ser.config import EMBEDDED
from ser.errors import SerError, TrainingDataError
from ser.fusion import abstention
from ser.fusion_evidence import ClipEvidence, collect_evidence, load_evidence, save_evidence
from ser.fusion_fitting import HeardClip, answer, log_losses
from ser.fusion_rule import PARAMETERS, FusionRule, save_fusion_rule
from ser.labels import EMOTIONS
from ser.metrics import uar
from ser.text.classifier import load_text_model
from ser.text.data import RecogniserNoise, read_labelled_texts
from ser.text.recipe import split_dialogues
from ser.types import Segment, TextModel, Transcript

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

Groups = Mapping[str, Sequence[HeardClip]]


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
    return {name: [_heard(clip, words, text) for clip, words in pairs] for name, pairs in groups.items()}


def choose_shipped_rule(groups: Groups) -> FusionRule:
    """Choose the temperature of the words with the least cross entropy that spares the voice where words say nothing.

    The voice's scores stay as its head gives them. Each group counts as `GROUP_WEIGHTS` says.

    Raises:
        TrainingDataError: if every temperature costs more than `MAX_DROP` there.
    """
    allowed: list[tuple[float, FusionRule]] = []
    for temperature in TEMPERATURES:
        rule = FusionRule(text_temperature=temperature)
        told = figures(rule, groups)
        if all(told[name]["voice_uar"] - told[name]["fused_uar"] <= MAX_DROP for name in SILENT_GROUPS):
            allowed.append((sum(GROUP_WEIGHTS[name] * told[name]["fused_nats"] for name in groups), rule))
    if not allowed:
        raise TrainingDataError("Every temperature of the words costs too much where they say nothing; see --evidence.")
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


def _heard(clip: ClipEvidence, words: Transcript, text: TextModel) -> HeardClip:
    if abstention(words, text.languages) is not None:
        return HeardClip(clip.acoustic, None, None, {clip.truth: 1.0})
    return HeardClip(clip.acoustic, text.classify(words.text), words, {clip.truth: 1.0})


def main(argv: Sequence[str] | None = None) -> int:
    """Collect or read the evidence, fit, save, and print the figures; 0 if done, 2 if something needed is missing."""
    parser = argparse.ArgumentParser(prog="python -m ser.fusion_recipe", description=__doc__)
    parser.add_argument("--data", required=True, type=Path, metavar="DIR", help="with the corpora and sentences")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the rule goes")
    parser.add_argument("--evidence", type=Path, metavar="FILE.json", help="read it here, or keep it here if absent")
    parser.add_argument("--text-model", default=EMBEDDED, metavar="MODEL", help="embedded, a folder or a Hub id")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (default 0)")
    options = parser.parse_args(argv)
    try:
        if options.evidence and options.evidence.is_file():
            clips = load_evidence(options.evidence)
        else:
            folders = [options.data / name for name in CORPORA]
            clips = collect_evidence(folders, clips=CLIPS, transcribed=TRANSCRIBED, seed=options.seed)
            if options.evidence:
                save_evidence(clips, options.evidence)
        text = load_text_model(options.text_model)
        assert text is not None, "a text model is named"
        groups = pair_with_words(clips, text, options.data, options.seed)
        rule = choose_shipped_rule(groups)
        told = figures(rule, groups)
        facts = {"seed": options.seed, "text_model": text.name, "clips": len(clips)}
        flat = {f"{name}/{key}": value for name, some in told.items() for key, value in some.items()}
        save_fusion_rule(rule, options.out, name=options.out.name, data=facts, metrics=flat)
    except SerError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({"rule": {key: round(getattr(rule, key), 3) for key in PARAMETERS}, "figures": told}, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
