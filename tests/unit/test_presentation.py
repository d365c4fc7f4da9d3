from dataclasses import replace

import pytest

from annotations.labels.colours import EMOTION_COLOURS, SURFACE_DARK, SURFACE_LIGHT, contrast_ratio
from annotations.labels.label_set import DEFAULT
from ser.fusion.remarks import abstention
from ser.labels import EMOTIONS
from ser.testing import fake_recognizer, synthetic_speech
from ser.types import EmotionScores, Recognition, Segment, Transcript
from ui.parts import presentation
from ui.parts.palette import FACES, label_choices, palette_css
from ui.parts.style import COLOURS
from ui.recognize import cards


@pytest.fixture(scope="module")
def steps() -> list[Recognition]:
    return list(fake_recognizer("i am so happy").recognize_steps(synthetic_speech(1.5)))


def sure_of(label: str, p: float = 0.94) -> EmotionScores:
    rest = (1 - p) / (len(EMOTIONS) - 1)
    return EmotionScores.from_dict({name: p if name == label else rest for name in EMOTIONS})


@pytest.mark.parametrize("label", EMOTIONS)
def test_colours_stand_out_from_their_surface(label: str) -> None:
    light, dark = EMOTION_COLOURS[label]
    assert contrast_ratio(light, SURFACE_LIGHT) >= 3
    assert contrast_ratio(dark, SURFACE_DARK) >= 3


def test_each_emotion_has_one_colour_one_key_one_face() -> None:
    assert DEFAULT.names == tuple(FACES) == EMOTIONS
    for part in ("light", "dark", "key"):
        assert len({getattr(label, part) for label in DEFAULT}) == len(EMOTIONS)
    assert len(set(FACES.values())) == len(EMOTIONS)
    assert [value for _, value in label_choices()] == [*EMOTIONS, "unsure"]
    assert all(f"--emotion-{label}:" in palette_css() for label in EMOTIONS)


def test_what_people_wrote_cannot_act_on_the_page(steps: list[Recognition]) -> None:
    words = "<img src=x onerror=alert(1)> {{x}} ${y}"
    answer = replace(
        steps[-1],
        transcript=Transcript(words, "en", (Segment(0, 1, words, 0.2),), "x"),
        notes=(words,),
        models={words: words},
    )
    for part in (
        presentation.answer_card(answer),
        cards.details_table(answer),
        cards.refusal_card(words),
    ):
        assert "<img" not in part and "${" not in part and "{{" not in part
        assert "&lt;img" in part


def test_the_card_keeps_its_frame_while_the_answer_grows(steps: list[Recognition]) -> None:
    drawn = [cards.empty_card(), cards.listening_card(), cards.refusal_card("No.")]
    drawn += [presentation.answer_card(step) for step in steps]
    for card in drawn:
        assert card.count('class="track"') == len(EMOTIONS)
        assert [card.count(f'class="{part}') for part in ("headline", "bars", "legend", "transcript", "notes")] == [
            1
        ] * 5


def test_bars_show_the_answer_and_mark_sound_and_words() -> None:
    fused, acoustic, text = (sure_of(label, 0.4).as_dict() for label in ("fear", "anger", "sadness"))
    drawn = presentation.bars(fused, acoustic, text)
    assert drawn.count('class="mark sound"') == drawn.count('class="mark words"') == len(EMOTIONS)
    assert '<li class="emotion-fear first"' in drawn
    assert 'title="anger: voice 40\xa0%, words 10\xa0%"' in drawn
    assert presentation.bars(None).count("–</span>") == len(EMOTIONS)


def test_sound_and_words_disagree(steps: list[Recognition]) -> None:
    answer = replace(steps[-1], acoustic=sure_of("anger"), text=sure_of("happiness"), text_weight=0.4)
    noted = replace(
        answer, notes=("Voice and words disagree: the voice says anger, the words say happiness.", "It is short.")
    )
    for one in (answer, noted):
        assert presentation.answer_card(one).count("Voice and words disagree") == 1
    assert "It is short." in presentation.answer_card(noted)
    for text in (sure_of("anger"), sure_of("neutral"), sure_of("happiness", 0.3)):
        assert "disagree" not in presentation.answer_card(replace(answer, text=text))


def test_what_is_awaited_differs_from_what_is_absent(steps: list[Recognition]) -> None:
    first, last = steps[0], steps[-1]
    assert first.transcript is None and not first.complete
    assert "Listening to the words" in presentation.answer_card(first)
    assert "there is no transcriber" in presentation.answer_card(replace(first, complete=True))
    silent = Transcript(" ", "en", (), "x")
    card = presentation.answer_card(
        replace(last, transcript=silent, notes=(str(abstention(silent, None)), "It is short."))
    )
    assert card.count("recognised") == 1 and "No words were recognised." in card and "It is short." in card


def test_unsure_words_are_greyed_with_their_confidence() -> None:
    drawn = presentation.words_html(
        "we were here", [Segment(0, 1, "we", 0.6), Segment(1, 2, "were", 0.59), Segment(2, 3, "here")]
    )
    assert drawn == (
        '“<span title="60\xa0% sure"><span translate="no">we</span></span> '
        '<span class="unsure" title="59\xa0% sure"><span translate="no">were</span></span> '
        '<span translate="no">here</span>”'
    )


def test_clip_line() -> None:
    assert "0:03.2 · clean · not stored" in cards.clip_line(3.24, (), "not stored")
    assert "· clipped ·" in cards.clip_line(3, ("Clipped.",), "not stored")
    assert "· 2 notes ·" in cards.clip_line(3, ("a.", "b."), "not stored")


def test_announcement_is_a_sentence(steps: list[Recognition]) -> None:
    answer = replace(steps[-1], fused=sure_of("fear", 0.4), text=None)
    assert presentation.announcement(answer) == "fear, 40 percent, from the voice."


def test_an_unsure_answer_is_a_question_and_says_why(steps: list[Recognition]) -> None:
    scores = EmotionScores.from_dict({"fear": 0.4, "anger": 0.35, "neutral": 0.25})
    answer = replace(steps[-1], fused=scores, text=None, unsure="Fear and anger are nearly as likely.")
    card = presentation.answer_card(answer)
    assert "<strong>Not sure: fear or anger</strong>" in card and 'class="number">40' not in card.partition("bars")[0]
    assert card.count("Fear and anger are nearly as likely.") == 1
    assert presentation.announcement(answer).startswith("Not sure: fear or anger, from the voice.")


def test_words_that_did_not_count_are_not_drawn(steps: list[Recognition]) -> None:
    answer = replace(steps[-1], text=sure_of("happiness"), text_weight=0.0)
    card = presentation.answer_card(answer)
    assert "words:" not in card and "mark words" not in card and "weight" not in card
    assert presentation.announcement(answer).endswith("from the voice.")


@pytest.mark.parametrize("dark", ["", "_dark"])
def test_text_can_be_read_on_its_ground(dark: str) -> None:
    pairs = [
        ("body_text_color", "body_background_fill"),
        ("body_text_color_subdued", "body_background_fill"),
        ("body_text_color_subdued", "block_background_fill"),
        ("button_primary_text_color", "button_primary_background_fill"),
        ("button_secondary_text_color", "button_secondary_background_fill"),
    ]
    for text, ground in pairs:
        assert contrast_ratio(COLOURS[text + dark], COLOURS[ground + dark]) >= 4.5, (text, ground)
    assert contrast_ratio(COLOURS["input_border_color" + dark], COLOURS["input_background_fill" + dark]) >= 3
