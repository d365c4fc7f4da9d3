import pytest

from annotations.errors import InvalidSettingError, InvalidVoteError
from annotations.learning.labels.soft_labels import weigh_votes
from annotations.raters.votes import effective_corrections, feedback_summary, training_examples
from annotations.store import NewClip, NewVote, grant, queries
from annotations.store.settings import AnnotationSettings, change_settings, list_settings_changes, read_settings
from ser.testing import synthetic_speech
from tests.unit.stored import answer, recording

pytestmark = pytest.mark.usefixtures("base_version")


def test_a_vote_holds_all_that_was_said_and_the_answer_that_was_kept_from_the_rater(store):
    clip = store.add_clip(recording(), source="page", language="pl", consent=["training"])
    prediction = store.add_prediction(clip.id, answer(), 1)
    vote = store.add_correction(
        clip.id,
        NewVote(
            "ann",
            "correct",
            distribution={"fear": 30, "sadness": 10, "anger": 0},
            valence=12.4,
            arousal=100,
            comment=" a door slams ",
            seconds=4.25,
            answer_shown=False,
        ),
        prediction_id=prediction.id,
    )
    assert (vote.label, vote.distribution) == ("fear", {"fear": 0.75, "sadness": 0.25})
    assert (vote.valence, vote.arousal, vote.comment, vote.seconds) == (12, 100, "a door slams", 4.25)
    assert vote.answer_shown is False
    store.add_correction(clip.id, NewVote("bob", "correct", label="fear"))
    answered, said, _ = queries.clip_history(store, clip.id)
    assert (answered.kind, answered.prediction, answered.version.name) == ("prediction", prediction, "embedded")
    assert (said.correction, said.prediction, said.version.name) == (vote, prediction, "embedded")
    (example,) = training_examples(store)
    assert example.soft_label == pytest.approx({"fear": 0.875, "sadness": 0.125})
    assert store.get_clip(clip.id).language == "pl"


def test_feedback_from_the_page_holds_the_same(store):
    clip, vote = store.save_feedback(
        recording(),
        answer(),
        NewVote("ann", "accept", label="fear", valence=50, answer_shown=True),
        NewClip("page", language="en", grants=grant(["research"], "ann")),
    )
    assert (clip.language, vote.valence, vote.answer_shown, vote.distribution) == ("en", 50, True, None)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"label": "fear", "distribution": {"anger": 1}}, "The label is 'fear', but another one has a larger share"),
        ({"distribution": {"joy": 1}}, "The label is 'joy'; expected one of"),
        ({"distribution": {"fear": -1}}, "The share of 'fear' is -1; expected a number of 0 or more"),
        ({"distribution": {"fear": 0}}, "All shares are 0. Give at least one label a share"),
        ({"distribution": [1]}, "The shares are of type list"),
        ({"verdict": "skip", "distribution": {"fear": 1}}, "The verdict 'skip' takes no shares of labels"),
        ({"label": "fear", "valence": 101}, "The valence is 101; expected a number from 0 to 100"),
        ({"label": "fear", "arousal": "high"}, "The arousal is 'high'; expected a number from 0 to 100"),
        ({"label": "fear", "seconds": -1}, "The time taken is -1; expected seconds, 0 or more"),
        ({"label": "fear", "comment": "x" * 2001}, "The comment has 2001 characters; at most 2000 are kept"),
    ],
)
def test_what_no_vote_can_hold_is_refused_in_words(store, given, complaint):
    clip = store.add_clip(recording(), source="page")
    with pytest.raises(InvalidVoteError) as caught:
        store.add_correction(clip.id, NewVote(**{"rater": "ann", "verdict": "correct", **given}))
    assert str(caught.value).startswith(complaint)
    assert queries.clip_history(store, clip.id) == []


def test_settings_hold_from_the_change_on_and_every_change_stays_on_record(store):
    assert read_settings(store) == AnnotationSettings()
    first = change_settings(store, AnnotationSettings(overlap=3, blind=True), by=" ann ")
    second = change_settings(store, AnnotationSettings(gold_rate=0.1, retention_days=30), by="bob")
    assert read_settings(store) == second.settings
    assert list_settings_changes(store) == [second, first]
    assert first.by == "ann"
    with store.database.writing() as connection:  # As a later version of the program may write them.
        connection.execute('UPDATE settings SET settings = \'{"overlap": 4, "mood": 1}\'')
    assert read_settings(store) == AnnotationSettings(overlap=4)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"overlap": 0}, "overlap is 0; expected a whole number of 1 or more, or nothing."),
        ({"retention_days": True}, "retention_days is True; expected a whole number of 1 or more, or nothing."),
        ({"gold_rate": 1.1}, "gold_rate is 1.1; expected a number from 0 to 1."),
        ({"lease_minutes": 0}, "lease_minutes is 0; expected a number from 0.05 to 1440."),
        ({"blind": "yes"}, "blind is 'yes'; expected true or false."),
    ],
)
def test_settings_that_cannot_be_are_refused(given, complaint):
    with pytest.raises(InvalidSettingError) as caught:
        AnnotationSettings(**given)
    assert str(caught.value) == complaint


def test_votes_before_half_of_the_clip_are_marked_and_count_as_the_settings_say(store):
    clip = store.add_clip(synthetic_speech(1.0), source="test", consent=("training",)).id
    for rater, seconds in (("ann", 0.3), ("bob", 0.7), ("cid", None)):
        store.add_correction(
            clip, NewVote(rater, "correct", label="fear" if rater == "ann" else "anger", seconds=seconds)
        )
    marked = {vote.rater: (vote.hasty, vote.weight) for vote in effective_corrections(store)}
    assert marked == {"ann": (True, 0.5), "bob": (False, 1.0), "cid": (False, 1.0)}
    assert training_examples(store)[0].votes == 3
    change_settings(store, AnnotationSettings(hasty_weight=0.0), by="ann")
    (example,) = training_examples(store)
    assert example.votes == 2 and example.soft_label == {"anger": 1.0}
    evidence = weigh_votes(effective_corrections(store))
    assert evidence.soft_labels[clip] == {"anger": 1.0} and "ann" not in evidence.raters


def test_clips_without_a_speaker_count_as_unknown_speakers_of_their_source(store):
    for seed, speaker in enumerate([None, None, "speaker 1"]):
        clip = store.add_clip(synthetic_speech(1.0, seed=seed), source="talks", speaker=speaker, consent=["training"])
        store.add_correction(clip.id, NewVote("ann", "correct", label="fear"))
    groups = [example.group for example in training_examples(store)]
    summary = feedback_summary(store)
    assert groups[0] == groups[1] != groups[2]
    assert (summary.groups, summary.unknown_speaker_clips) == (1, 2)
