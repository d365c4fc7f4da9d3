"""A `Recognition` as the JSON object that the command line prints and the API returns.

Pure; the keys are a public form that other programs read.
"""

import sys
from dataclasses import asdict

from ser.types import EmotionScores, Recognition, Transcript

DIGITS = 4


def recognition_to_dict(recognition: Recognition, file: str | None = None) -> dict[str, object]:
    """Turn an answer into plain values for JSON.

    Args:
        recognition: complete or early.
        file: name to report under `file`.

    Returns:
        `file, duration, label, confidence, fused, acoustic, text, transcript, timings, models, intensity,
        text_weight, unmapped, notes, speech, complete, unsure, profile`; seconds for times, 0..1 for probabilities.
        `ratings`, {rating: {value 0..100, concordance}}, if the model was trained on any;
        `opinion` (see `ser.language_model.opinion.Opinion.as_dict`), if a language model has given one;
        `face` (see `ser.face.FaceAnswer.as_dict`), if a picture came with it.
    """
    rated = {
        name: {"value": round(value, 1), "concordance": round(agreement, 2)}
        for name, (value, agreement) in recognition.acoustic.ratings.items()
    }
    return {
        "file": file,
        "duration": round(recognition.duration, 3),
        "label": recognition.fused.label,
        "confidence": round(recognition.fused.confidence, DIGITS),
        "fused": scores_to_dict(recognition.fused),
        "acoustic": scores_to_dict(recognition.acoustic),
        "text": scores_to_dict(recognition.text) if recognition.text else None,
        "intensity": None if recognition.acoustic.intensity is None else round(recognition.acoustic.intensity, DIGITS),
        "text_weight": round(recognition.text_weight, DIGITS),
        "transcript": transcript_to_dict(recognition.transcript) if recognition.transcript else None,
        "unmapped": {
            part: {name: round(p, DIGITS) for name, p in scores.unmapped.items()}
            for part, scores in (("acoustic", recognition.acoustic), ("text", recognition.text))
            if scores and scores.unmapped
        },
        "speech": [{"start": round(r.start, 3), "end": round(r.end, 3)} for r in recognition.speech],
        "notes": list(recognition.notes),
        "timings": recognition.timings.as_dict(),
        "models": dict(recognition.models),
        "complete": recognition.complete,
        "unsure": recognition.unsure,
        "profile": None if recognition.profile is None else asdict(recognition.profile),
        **({"ratings": rated} if rated else {}),
        **({"opinion": recognition.opinion.as_dict()} if recognition.opinion else {}),
        **({"face": recognition.face.as_dict()} if recognition.face else {}),
    }


def scores_to_dict(scores: EmotionScores) -> dict[str, float]:
    """{label: probability}, rounded.

    >>> scores_to_dict(EmotionScores((1.0, 0, 0, 0, 0, 0, 0)))["anger"]
    1.0
    """
    return {label: round(p, DIGITS) for label, p in scores.as_dict().items()}


def transcript_to_dict(transcript: Transcript) -> dict[str, object]:
    """`text, language, source, confidence, segments`."""
    confidence = transcript.confidence
    return {
        "text": transcript.text,
        "language": transcript.language,
        "source": transcript.source,
        "confidence": None if confidence is None else round(confidence, DIGITS),
        "segments": [
            {
                "start": round(segment.start, 3),
                "end": round(segment.end, 3),
                "text": segment.text,
                "confidence": None if segment.confidence is None else round(segment.confidence, DIGITS),
            }
            for segment in transcript.segments
        ],
    }


def printable(text: str) -> str:
    r"""Write what is no Unicode character as a backslash escape; in JSON it is then read back as it was.

    >>> printable("caf\udce9.wav")
    'caf\\udce9.wav'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def print_everything() -> None:
    """Let stdout print any text: what its encoding lacks is written as a backslash escape, as stderr does anyway."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
