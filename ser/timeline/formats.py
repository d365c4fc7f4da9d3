"""A timeline as other tools read it: JSON, CSV, RTTM, TextGrid, WebVTT, SubRip, Audacity's labels, Label Studio."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from html import escape
from pathlib import PurePath
from urllib.parse import quote

from ser.timeline.regions import FeelingRegion, Timeline
from ser.timeline.segmentation import SegmentationConfig

COLUMNS = ("start", "end", "speaker", "channel", "label", "confidence", "unsure", "transcript")


def to_json(timeline: Timeline, file: str) -> str:
    """The object that `python -m ser timeline --json` prints."""
    return json.dumps(timeline.as_dict(file), ensure_ascii=False) + "\n"


def to_csv(timeline: Timeline, file: str) -> str:
    """A table of the regions; an unknown speaker and a sure answer are empty cells."""
    table = io.StringIO()
    # A label that a person chose may be of another set than the model's answers.
    labels = dict.fromkeys(label for region in timeline.regions for label in region.scores.labels)
    writer = csv.DictWriter(table, ("file", *COLUMNS, *labels), lineterminator="\n")
    writer.writeheader()
    for region in timeline.as_regions():
        scores = region.pop("scores")
        assert isinstance(scores, dict)
        writer.writerow({"file": file, **region, **scores})
    return table.getvalue()


def to_rttm(timeline: Timeline, file: str) -> str:
    """Lines of ten fields; the emotion stands where the speaker's name does, as in emotion diarisation.

    Source: NIST, "The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan", appendix A.
    """
    return _rttm(timeline.regions, file, lambda region: (region.label, f"{region.scores.confidence:.4f}"))


def to_turns(timeline: Timeline, file: str) -> str:
    """Lines of ten fields as for `to_rttm`, a line for each turn of a speaker, who is named; a long pause ends it."""
    turns = list[FeelingRegion]()
    for region in timeline.regions:
        last = turns[-1] if turns else region
        same = (last.speaker, last.channel) == (region.speaker, region.channel)
        if turns and same and region.start - last.end <= SegmentationConfig.max_pause:
            turns[-1] = replace(last, end=max(last.end, region.end))
        else:
            turns.append(region)
    return _rttm(turns, file, lambda turn: ((turn.speaker or "speaker").replace(",", ""), "<NA>"))


def _rttm(regions: Iterable[FeelingRegion], file: str, name: Callable[[FeelingRegion], tuple[str, str]]) -> str:
    """Write a line for each region; scoring tools know recordings by the name of the file without its ending."""
    lines = list[str]()
    for region in regions:
        who, confidence = name(region)
        times = f"{region.channel or 1} {region.start:.3f} {region.end - region.start:.3f}"
        lines.append(f"SPEAKER {_field(PurePath(file).stem)} {times} <NA> <NA> {_field(who)} {confidence} <NA>\n")
    return "".join(lines)


def _field(text: str) -> str:
    """A text as a field between spaces.

    >>> _field("in  distress")
    'in_distress'
    """
    return "_".join(text.split()) or "unnamed"


def to_textgrid(timeline: Timeline, file: str) -> str:
    """Praat's long text form: for each speaker a tier of emotions, and one of words if there are any.

    Intervals of a tier cannot overlap: a region that does goes to further tiers of its speaker, which have numbers.
    Source: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
    """
    tiers = list[tuple[str, list[tuple[float, float, str]]]]()
    for speaker in dict.fromkeys(region.speaker for region in timeline.regions):
        own = [region for region in timeline.regions if region.speaker == speaker]
        for number, layer in enumerate(_apart(own), 1):
            suffix = (f", {speaker}" if speaker else "") + (f" ({number})" if number > 1 else "")
            tiers.append((f"emotion{suffix}", _filled(layer, timeline.duration, lambda region: region.label)))
            if any(region.transcript is not None for region in layer):
                words = _filled(layer, timeline.duration, lambda region: _line(region.transcript or ""))
                tiers.append((f"transcript{suffix}", words))
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
    span = f"xmin = 0\nxmax = {timeline.duration:.3f}\n"
    lines = [f"{head}{span}tiers? <exists>\nsize = {len(tiers)}\nitem []:\n"]
    for number, (name, intervals) in enumerate(tiers, 1):
        lines.append(f'item [{number}]:\nclass = "IntervalTier"\nname = {_quoted(name)}\n{span}')
        lines.append(f"intervals: size = {len(intervals)}\n")
        for place, (start, end, text) in enumerate(intervals, 1):
            lines.append(f"intervals [{place}]:\nxmin = {start:.3f}\nxmax = {end:.3f}\ntext = {_quoted(text)}\n")
    return "".join(lines)


def _apart(regions: Iterable[FeelingRegion]) -> list[list[FeelingRegion]]:
    """Share regions out to as few lists as it takes that none overlaps another of its list."""
    layers = list[list[FeelingRegion]]()
    for region in regions:
        free = next((layer for layer in layers if round(layer[-1].end, 3) <= round(region.start, 3)), None)
        if free is None:
            layers.append([region])
        else:
            free.append(region)
    return layers


def _filled(
    regions: Sequence[FeelingRegion], duration: float, text: Callable[[FeelingRegion], str]
) -> list[tuple[float, float, str]]:
    """Intervals that follow each other from 0 to the end, empty between the regions, as tiers have to be."""
    intervals, time, last = list[tuple[float, float, str]](), 0.0, round(duration, 3)
    for region in regions:
        start, end = round(region.start, 3), min(round(region.end, 3), last)
        if start >= end:  # Praat refuses an interval without length.
            continue
        if start > time:
            intervals.append((time, start, ""))
        intervals.append((start, end, text(region)))
        time = end
    if last > time:
        intervals.append((time, last, ""))
    return intervals


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def to_vtt(timeline: Timeline, file: str) -> str:
    """WebVTT with a cue for each region; the speaker is the cue's voice.

    Source: https://www.w3.org/TR/webvtt1/
    """
    cues = ["WEBVTT\n"]
    for number, region in enumerate(timeline.regions, 1):
        voice = f"<v {escape(region.speaker, quote=False)}>" if region.speaker else ""
        times = f"{_clock_time(region.start, '.')} --> {_clock_time(region.end, '.')}"
        cues.append(f"\n{number}\n{times}\n{voice}{escape(_caption(region), quote=False)}\n")
    return "".join(cues)


def to_srt(timeline: Timeline, file: str) -> str:
    """SubRip subtitles, one for each region."""
    return "\n".join(
        f"{number}\n{_clock_time(region.start, ',')} --> {_clock_time(region.end, ',')}\n"
        # An arrow is read as the times of another subtitle, and cannot be written in another way.
        f"{region.speaker + ': ' if region.speaker else ''}{_caption(region).replace('-->', '→')}\n"
        for number, region in enumerate(timeline.regions, 1)
    )


def to_audacity(timeline: Timeline, file: str) -> str:
    """Labels as Audacity imports them: start, end and text with tabs between.

    Source: https://manual.audacityteam.org/man/importing_and_exporting_labels.html
    """
    return "".join(f"{r.start:.6f}\t{r.end:.6f}\t{_caption(r)}\n" for r in timeline.regions)


def to_labelstudio(timeline: Timeline, file: str) -> str:
    """A task of Label Studio whose regions are predictions: a label each, with its transcript if there is one.

    The labelling set-up has `Labels` named emotion and, for each region, a `TextArea` named transcript; the recording
    is looked for in the folder of local files (LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT).
    Source: https://labelstud.io/tags/audio (results of regions).
    """
    result = list[dict[str, object]]()
    for number, region in enumerate(timeline.regions, 1):
        span = {"start": round(region.start, 3), "end": round(region.end, 3), "channel": (region.channel or 1) - 1}
        common = {"id": f"region-{number}", "to_name": "audio", "original_length": round(timeline.duration, 3)}
        labels = {**common, "from_name": "emotion", "type": "labels", "value": {**span, "labels": [region.label]}}
        result.append({**labels, "score": round(region.scores.confidence, 4)})
        if region.transcript:
            text = {**span, "text": [region.transcript]}
            result.append({**common, "from_name": "transcript", "type": "textarea", "value": text})
    audio = f"/data/local-files/?d={quote(file)}"
    task = {"data": {"audio": audio}, "predictions": [{"model_version": "timeline", "result": result}]}
    return json.dumps([task], ensure_ascii=False) + "\n"


def _caption(region: FeelingRegion) -> str:
    doubt = "?" if region.unsure else ""
    words = f": {region.transcript}" if region.transcript else ""
    return _line(f"[{region.label}{doubt}]{words}")


def _line(text: str) -> str:
    """A text without line breaks and tabs, which end it in most forms."""
    return " ".join(text.split())


def _clock_time(seconds: float, point: str) -> str:
    """Hours, minutes, seconds and thousandths.

    >>> _clock_time(3725.5, ".")
    '01:02:05.500'
    """
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


FORMATS: dict[str, tuple[str, Callable[[Timeline, str], str]]] = {
    "json": (".json", to_json),
    "csv": (".csv", to_csv),
    "rttm": (".rttm", to_rttm),
    "textgrid": (".TextGrid", to_textgrid),
    "vtt": (".vtt", to_vtt),
    "srt": (".srt", to_srt),
    "audacity": (".txt", to_audacity),
    "labelstudio": (".labelstudio.json", to_labelstudio),
    "turns": (".speakers.rttm", to_turns),
}
"""Ending of the file's name, and the writer of each form."""
