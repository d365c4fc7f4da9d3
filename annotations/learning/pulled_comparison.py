"""How a model that came from elsewhere does on the feedback held out here, against the one in use.

Nothing is put to use and no run is recorded; see `annotations.learning.gate` for what is asked of it.
"""

from collections.abc import Sequence
from typing import Any

from annotations.learning.active_model import ActiveModel
from annotations.learning.config import RetrainingConfig
from annotations.learning.feedback import training_examples
from annotations.learning.gate import AnswerAll, judge
from annotations.learning.holdout import Holdout
from annotations.learning.learners_text import held_out_sentences
from annotations.learning.sides import hold_out
from annotations.records import FeedbackExample
from ser.audio import decode_file
from ser.errors import TrainingDataError
from ser.types import Audio, EmotionScores
from ser.vad import trim_to_speech

COMPARED = ("acoustic", "text")
NOT_COMPARED = "not compared"


def compare_pulled(active: ActiveModel, target: str, folder: str) -> dict[str, object]:
    """Let the model in use and one from elsewhere answer the held-out feedback.

    Args:
        active: loads both.
        target: which of the models it is.
        folder: of the new one.

    Returns:
        The decision's figures as the store keeps them with a version, and under `comparison` its `decision`
        (`promoted`, `refused` or `not compared`), `reason` and the ids of the clips that `judged`.

    Raises:
        ModelUnavailableError: where one of them cannot be loaded.
    """
    try:
        if target not in COMPARED:
            raise TrainingDataError(f"Models of {target} from elsewhere have nothing here to be compared on.")
        holdout = hold_out(active.store, training_examples(active.store), target)
        holdout = held_out_sentences(holdout) if target == "text" else holdout
    except TrainingDataError as error:
        reason = f"Not compared with the model in use. {error}"
        return {"comparison": {"decision": NOT_COMPARED, "reason": reason, "judged": []}}
    config = RetrainingConfig()
    used = active.load(target, active.location(active.store.active_version(target)))
    answers = (_answering(active, holdout, target, model) for model in (used, active.load(target, folder)))
    decision = judge(holdout, *answers, confidence=config.confidence, min_gain=config.min_gain, seed=config.seed)
    verdict = {
        "decision": "promoted" if decision.promoted else "refused",
        "reason": decision.reason,
        "judged": [example.clip.id for example in holdout.held_out],
    }
    return {**decision.metrics(), "comparison": verdict}


def _answering(active: ActiveModel, holdout: Holdout, target: str, model: Any) -> AnswerAll:
    if target == "text":
        return lambda clips: list(model.classify_batch([clip.transcript or "" for clip in clips]))

    def answer(clips: Sequence[FeedbackExample]) -> list[EmotionScores]:
        return list(model.classify_batch([_spoken(active, clip) for clip in clips]))

    return answer


def _spoken(active: ActiveModel, example: FeedbackExample) -> Audio:
    audio = decode_file(active.store.clip_path(example.clip))
    return trim_to_speech(audio, active.recognizer.detector.detect(audio))
