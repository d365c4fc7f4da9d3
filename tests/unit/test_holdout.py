from collections.abc import Sequence

import pytest

from annotations.learning.promotion.folds import assign_folds
from annotations.learning.promotion.holdout import (
    HELD_OUT,
    MIN_HELD_OUT_CLIPS,
    MIN_TRAINING_CLIPS,
    TRAINING,
    cross_fit,
    divide,
    held_out_share,
    unit_names,
)
from annotations.store.records import Clip, FeedbackExample
from ser.errors import TrainingDataError

LABELS = ("anger", "sadness", "fear")


def feedback(
    number: int, *, speaker: str | None, session: str | None = None, label: str | None = None
) -> FeedbackExample:
    sha256 = f"{number:064x}"
    clip = Clip(number, sha256, f"{sha256}.flac", 2.0, speaker, "page", session, ("training",), "2026-01-01T00:00:00")
    return FeedbackExample(
        clip, {label or LABELS[number % 3]: 1.0}, 1, speaker or session or sha256, correction_ids=(number,)
    )


def many(speakers: Sequence[str | None], each: int, session: str | None = None) -> list[FeedbackExample]:
    return [
        feedback(index * each + number, speaker=speaker, session=session)
        for index, speaker in enumerate(speakers)
        for number in range(each)
    ]


@pytest.mark.parametrize("count", [2, 3, 5, 12, 40])
def test_no_speaker_is_in_both_splits(count: int) -> None:
    holdout = divide(many([f"speaker {n}" for n in range(count)], 20))
    assert holdout.unit == "speaker" and holdout.units == count
    assert not {e.group for e in holdout.training} & {e.group for e in holdout.held_out}
    assert len(holdout.training) + len(holdout.held_out) == 20 * count
    assert len(holdout.training) >= MIN_TRAINING_CLIPS and len(holdout.held_out) >= MIN_HELD_OUT_CLIPS


def test_one_speaker_is_divided_by_session() -> None:
    examples = [feedback(n, speaker="ann", session=f"day {n % 4}") for n in range(60)]
    holdout = divide(examples)
    assert holdout.unit == "session"
    assert not {e.clip.session for e in holdout.training} & {e.clip.session for e in holdout.held_out}


def test_one_session_of_one_speaker_is_divided_in_parts_that_stay_whole() -> None:
    holdout = divide(many(["ann"], 60, session="today"))
    assert holdout.unit == "part of the session" and holdout.units == 12
    parts = [{e.clip.id // 5 for e in side} for side in (holdout.training, holdout.held_out)]
    assert not parts[0] & parts[1]


def test_a_second_speaker_of_few_clips_does_not_stand_in_the_way() -> None:
    examples = [feedback(n, speaker="bob" if n < 3 else "ann") for n in range(60)]
    holdout = divide(examples)
    assert holdout.unit == "part of the session"
    parts = [
        {(e.group, (e.clip.id - 3) // 5 if e.group == "ann" else 0) for e in side}
        for side in (holdout.training, holdout.held_out)
    ]
    assert not parts[0] & parts[1]


def test_a_session_of_one_clip_does_not_stand_in_the_way() -> None:
    examples = [feedback(n, speaker="ann", session="page" if n == 0 else None) for n in range(60)]
    assert divide(examples).unit == "part of the session"


@pytest.mark.parametrize("count", [3, 7, 12, 60])
def test_a_fair_share_is_held_out(count: int) -> None:
    holdout = divide(many([f"voice {n}" for n in range(count)], 20))
    assert abs(len(holdout.held_out) / (20 * count) - held_out_share(20 * count)) <= 0.1


def test_speakers_keep_their_split_as_feedback_grows() -> None:
    before = divide(many([f"speaker {n}" for n in range(100)], 5))
    after = divide(many([f"speaker {n}" for n in range(200)], 5))
    assert {e.group for e in before.held_out} <= {e.group for e in after.held_out}
    assert {e.group for e in before.training} <= {e.group for e in after.training}


def test_clips_without_a_known_speaker_are_units_of_their_own() -> None:
    holdout = divide(many([None], 100))
    assert holdout.units == 100


def test_nothing_at_all() -> None:
    with pytest.raises(TrainingDataError) as error:
        divide([])
    assert str(error.value) == (
        "No labelled clip may be used for training yet; 28 are needed. Label clips with consent to training."
    )


def test_too_few_clips_are_refused_with_the_numbers_needed() -> None:
    with pytest.raises(TrainingDataError) as error:
        divide(many(["ann", "bob"], 5))
    message = str(error.value)
    assert message.startswith("10 labelled clips may be used for training. Needed: ")
    assert "15 more for training (there are 5)" in message
    assert "3 more from other speakers or sessions to compare the models on (there are 5)" in message


def test_one_label_trains_nothing() -> None:
    examples = [feedback(n, speaker=f"speaker {n % 5}", label="anger") for n in range(60)]
    with pytest.raises(TrainingDataError, match="are labelled anger; at least 2 different labels are needed"):
        divide(examples)


@pytest.mark.parametrize(
    ("speakers", "unit"), [(["ann", "bob", "cem"], "speaker"), (["ann", "bob"], "part of the session")]
)
def test_nothing_is_held_out_of_a_cross_fitted_run(speakers: list[str], unit: str) -> None:
    examples = many(speakers, 20)
    holdout = cross_fit(examples)
    assert holdout.training == holdout.held_out == tuple(examples)
    assert (holdout.unit, holdout.cross_fitted) == (unit, True)
    names = unit_names(examples, unit)
    folds = assign_folds(names, 5)
    assert all(len(set(folds[[name == one for name in names]])) == 1 for one in set(names))


def test_too_little_for_a_cross_fitted_run_is_refused_with_the_numbers() -> None:
    with pytest.raises(TrainingDataError, match="27 labelled clips may be used for training; 28 are needed"):
        cross_fit(many(["ann"], 27))
    with pytest.raises(TrainingDataError, match=r"All labelled clips \(60\) are labelled anger"):
        cross_fit([feedback(n, speaker=f"speaker {n % 5}", label="anger") for n in range(60)])


def sides_of(holdout) -> dict[int, str]:
    held = {e.clip.id: HELD_OUT for e in (*holdout.held_out, *holdout.reserved)}
    return {e.clip.id: TRAINING for e in holdout.training} | held


def test_no_clip_ever_changes_its_split_however_feedback_grows() -> None:
    """Speakers come and go, sessions grow, the coarse division gives way to the strict one."""
    examples = [feedback(n, speaker="ann", session="day 1") for n in range(60)]
    sides: dict[int, str] = {}
    stages = [
        [],
        [feedback(100 + n, speaker="ann", session=f"day {2 + n // 10}") for n in range(40)],
        [feedback(200 + n, speaker=f"speaker {n % 7}") for n in range(70)],
        [feedback(300 + n, speaker=f"speaker {n % 21}") for n in range(210)],
    ]
    units = []
    for more in stages:
        examples += more
        holdout = divide(examples, sides)
        now = sides_of(holdout)
        assert now.keys() == {e.clip.id for e in examples}
        assert all(now[clip] == side for clip, side in sides.items())
        sides = now
        units.append(holdout.unit)
        assert sides_of(divide(examples, sides)) == sides
    assert units[0] == "part of the session" and units[-1] == "speaker"
    assert not {e.group for e in holdout.training} & {e.group for e in holdout.held_out}
    assert {e.group for e in holdout.reserved} == {"ann"}


def test_new_clips_of_a_speaker_go_where_the_speaker_is() -> None:
    before = divide(many([f"speaker {n}" for n in range(10)], 10))
    held = {e.group for e in before.held_out}
    more = [feedback(1000 + n, speaker=f"speaker {n % 10}") for n in range(50)]
    after = divide([*many([f"speaker {n}" for n in range(10)], 10), *more], sides_of(before))
    assert {e.group for e in after.held_out} == held


def test_one_new_speaker_after_the_other_keeps_a_fair_share_held_out() -> None:
    examples = many(["a", "b", "c"], 20)
    sides = sides_of(divide(examples))
    for number in range(60):
        examples += [feedback(1000 + 20 * number + n, speaker=f"new {number}") for n in range(20)]
        sides = sides_of(divide(examples, sides))
    assert 0.2 <= sum(side == HELD_OUT for side in sides.values()) / len(sides) <= 0.42
