"""A timeline in the forms of other tools, read as those read them."""

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace

import av
import pytest

from ser.timeline.formats import to_audacity, to_csv, to_labelstudio, to_rttm, to_srt, to_textgrid, to_turns, to_vtt
from ser.timeline.regions import FeelingRegion, Timeline
from ser.types import EmotionScores, Timings

SCORES = EmotionScores.from_dict({"anger": 0.7, "neutral": 0.3})
EXAMPLE = Timeline(
    9.0,
    2,
    (
        FeelingRegion(0.5, 2.25, "channel 1", 1, SCORES, None, 'He said "no" & left -->'),
        FeelingRegion(2.25, 4.0, "channel 1", 1, EmotionScores.from_dict({"neutral": 1.0}), "Close call.", ""),
        FeelingRegion(3.0, 8.5, "channel 2", 2, SCORES, None, "żal, wie\nimmer"),
    ),
    Timings(),
    (),
)


@pytest.mark.parametrize(("form", "write"), [("webvtt", to_vtt), ("srt", to_srt)])
def test_subtitles_are_read_by_ffmpeg(form: str, write: Callable[[Timeline, str], str]) -> None:
    with av.open(io.BytesIO(write(EXAMPLE, "talk.wav").encode()), format=form) as container:
        stream = container.streams[0]
        cues = [packet for packet in container.demux(stream) if packet.size]
        assert stream.time_base is not None
        starts = [float(packet.pts * stream.time_base) for packet in cues]
        ends = [float((packet.pts + packet.duration) * stream.time_base) for packet in cues]
    assert starts == [0.5, 2.25, 3.0] and ends == [2.25, 4.0, 8.5]


def test_the_table_and_the_labels_read_back() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(EXAMPLE, "talk.wav"))))
    assert [(float(row["start"]), row["label"], row["transcript"]) for row in rows] == [
        (region.start, region.label, region.transcript) for region in EXAMPLE.regions
    ]
    assert float(rows[0]["anger"]) == 0.7 and rows[1]["unsure"] == "Close call."
    labels = [line.split("\t") for line in to_audacity(EXAMPLE, "talk.wav").splitlines()]
    assert [(float(start), float(end)) for start, end, _ in labels] == [(0.5, 2.25), (2.25, 4.0), (3.0, 8.5)]


def test_rttm_has_ten_fields_without_spaces_in_them() -> None:
    lines = [line.split(" ") for line in to_rttm(EXAMPLE, "my talk.wav").splitlines()]
    assert all(len(line) == 10 and all(line) for line in lines)
    assert lines[2][:5] == ["SPEAKER", "my_talk", "2", "3.000", "5.500"] and lines[2][7] == "anger"


Tiers = dict[str, list[tuple[float, float, str]]]


def read_textgrid(text: str) -> Tiers:
    """The tiers, as Praat reads them: free numbers and quoted texts in order, and all else is a comment."""
    free = re.findall(r'"(?:[^"]|"")*"|<exists>|(?<![\w\[.])-?\d+(?:\.\d+)?(?![\w\].])', text)
    assert free[:3] == ['"ooTextFile"', '"TextGrid"', "0"] and free[4] == "<exists>"
    tokens, tiers = iter(free[6:]), dict[str, list[tuple[float, float, str]]]()
    for _ in range(int(free[5])):
        assert next(tokens) == '"IntervalTier"'
        name = next(tokens)[1:-1]
        assert (next(tokens), next(tokens)) == ("0", free[3])
        tiers[name] = [
            (float(next(tokens)), float(next(tokens)), next(tokens)[1:-1].replace('""', '"'))
            for _ in range(int(next(tokens)))
        ]
    for intervals in tiers.values():
        edges = [intervals[0][0], *(end for _, end, _ in intervals)]
        assert edges[0] == 0.0 and edges[-1] == float(free[3]) and [start for start, _, _ in intervals] == edges[:-1]
        assert all(start < end for start, end, _ in intervals)
    return tiers


def test_textgrid_tiers_follow_praats_rules() -> None:
    tiers = read_textgrid(to_textgrid(EXAMPLE, "talk.wav"))
    assert list(tiers) == [f"{kind}, channel {n}" for n in (1, 2) for kind in ("emotion", "transcript")]
    assert (0.5, 2.25, 'He said "no" & left -->') in tiers["transcript, channel 1"]
    assert (3.0, 8.5, "żal, wie immer") in tiers["transcript, channel 2"]


def region(start: float, end: float, label: str = "anger", words: str | None = None) -> FeelingRegion:
    """A region of a recording whose speakers are not distinguished."""
    return FeelingRegion(start, end, None, 1, EmotionScores.from_dict({label: 1.0}), None, words)


def test_regions_that_overlap_go_to_tiers_of_their_own() -> None:
    regions = (region(0.5, 4.0), region(3.0, 5.0, "fear"), region(3.2, 3.8, "sadness"), region(4.0, 6.0, "disgust"))
    without_length = (region(6.0, 6.0002, "surprise"), region(6.0002, 9.5, "happiness"))
    tiers = read_textgrid(to_textgrid(replace(EXAMPLE, regions=(*regions, *without_length)), "talk.wav"))
    assert tiers == {
        "emotion": [(0.0, 0.5, ""), (0.5, 4.0, "anger"), (4.0, 6.0, "disgust"), (6.0, 9.0, "happiness")],
        "emotion (2)": [(0.0, 3.0, ""), (3.0, 5.0, "fear"), (5.0, 9.0, "")],
        "emotion (3)": [(0.0, 3.2, ""), (3.2, 3.8, "sadness"), (3.8, 9.0, "")],
    }


def test_line_breaks_and_arrows_within_words_end_no_cue() -> None:
    timeline = replace(EXAMPLE, regions=(region(1.0, 2.0, words="one\n\ntwo --> <b>\r\n3\tfour"), region(2.0, 3.0)))
    assert to_vtt(timeline, "a.wav").split("\n\n")[1:] == [
        "1\n00:00:01.000 --> 00:00:02.000\n[anger]: one two --&gt; &lt;b&gt; 3 four",
        "2\n00:00:02.000 --> 00:00:03.000\n[anger]\n",
    ]
    assert to_srt(timeline, "a.wav").split("\n\n") == [
        "1\n00:00:01,000 --> 00:00:02,000\n[anger]: one two → <b> 3 four",
        "2\n00:00:02,000 --> 00:00:03,000\n[anger]\n",
    ]
    assert to_audacity(timeline, "a.wav").splitlines()[0] == "1.000000\t2.000000\t[anger]: one two --> <b> 3 four"


def test_a_turn_ends_where_another_speaks_or_nobody_does() -> None:
    speakers = ("Ann", "Ann", "Ann", "speaker 2, left", "Ann")
    times = ((0.0, 2.0), (2.5, 4.0), (7.0, 8.0), (7.5, 7.9), (8.5, 9.0))
    own = [replace(region(*span), speaker=speaker) for span, speaker in zip(times, speakers, strict=True)]
    lines = [line.split(" ") for line in to_turns(replace(EXAMPLE, regions=tuple(own)), "calls/a b.wav").splitlines()]
    assert [(line[1], line[3], line[4], line[7]) for line in lines] == [
        ("a_b", "0.000", "4.000", "Ann"),
        ("a_b", "7.000", "1.000", "Ann"),
        ("a_b", "7.500", "0.400", "speaker_2_left"),
        ("a_b", "8.500", "0.500", "Ann"),
    ]


def test_labels_of_another_set_have_columns_and_fields_of_their_own() -> None:
    own = EmotionScores((0.8, 0.2), labels=("in distress", "calm"), means={"in distress": ("fear",)})
    timeline = replace(EXAMPLE, regions=(region(1.0, 2.0), replace(region(2.0, 3.0), scores=own)))
    rows = list(csv.DictReader(io.StringIO(to_csv(timeline, "a.wav"))))
    assert [(row["label"], row["anger"], row["in distress"]) for row in rows] == [
        ("anger", "1.0", ""),
        ("in distress", "", "0.8"),
    ]
    assert to_rttm(timeline, "a.wav").splitlines()[1].split(" ")[7:] == ["in_distress", "0.8000", "<NA>"]


def test_label_studio_finds_the_recording_among_its_local_files() -> None:
    (task,) = json.loads(to_labelstudio(EXAMPLE, "żal & 1.wav"))
    assert task["data"] == {"audio": "/data/local-files/?d=%C5%BCal%20%26%201.wav"}
    result = task["predictions"][0]["result"]
    assert [one["value"].get("labels", one["value"].get("text")) for one in result[:2]] == [
        ["anger"],
        ['He said "no" & left -->'],
    ]
    assert result[0]["id"] == result[1]["id"] and result[-1]["value"]["channel"] == 1
