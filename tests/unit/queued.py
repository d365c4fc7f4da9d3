"""A store's queue, filled and looked at."""

from annotations.review.filters import QueueFilter
from annotations.review.queue import QueueOrder, queue_page
from annotations.store import NewVote
from ser.types import EmotionScores, Recognition, Timings, Transcript
from tests.unit.stored import answer, recording


def add(store, seed, confidence=None, **details):
    clip = store.add_clip(recording(seed), source=details.pop("source", "page"), **details)
    if confidence is not None:
        store.add_prediction(clip.id, answer(confidence=confidence), 1)
    return clip.id


def vote(store, clip_id, rater, label="fear", **details):
    return store.add_correction(clip_id, NewVote(rater, "correct", label=label, **details))


def page(store, order=QueueOrder.LEAST_CERTAIN, filters=None, rater="ann", **asked):
    return [item.clip.id for item in queue_page(store, rater, order, filters or QueueFilter(), **asked)]


def scores(**shares):
    rest = 1 - sum(shares.values())
    return EmotionScores.from_dict({"neutral": rest, **shares})


def predict(store, clip_id, sound, words=None, text="so it is", language="en"):
    said = Transcript(text, language, (), "test")
    models = {"acoustic": "test"}
    recognition = Recognition(0.5, (), sound, said, words, sound, 0.0, (), Timings(), models)
    return store.add_prediction(clip_id, recognition, 1)
