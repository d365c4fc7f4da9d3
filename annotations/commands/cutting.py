"""`cut`: long recordings into the store as clips of one feeling each, with the parent's hash and their offsets."""

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from sqlite3 import Connection

import numpy as np
from tqdm import tqdm

from annotations.commands.common import add_json, load_active, names, print_result
from annotations.exchange.imports.options import IMPORTER
from annotations.learning.versions.active import ActiveModel, Serving
from annotations.store import AnnotationStore, NewClip, grant
from annotations.store.erasure_log import was_erased
from annotations.store.new_records import Grant, Parent
from annotations.store.records import CONSENT_PURPOSES, WHOLE
from annotations.store.rows import insert_clip, insert_prediction
from ser.audio.long_recordings import LongRecording, read_long
from ser.commands.recognize import expand
from ser.errors import AudioError
from ser.timeline.regions import FeelingRegion, Timeline
from ser.timeline.timeline import CHANNEL_MODES
from ser.types import Audio, Recognition

LONGEST = 30.0
"""Seconds of a clip; longer regions become several."""

LONGEST_WHOLE = 3600.0
"""Seconds of a recording that is kept whole: it is in memory while it is written."""

ERASED = "This recording was erased here: nothing is cut from it."


def add_cut(parser: argparse.ArgumentParser) -> None:
    """The options of `cut`."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="recordings of up to four hours, or folders of them")
    parser.add_argument(
        "--consent",
        type=names,
        required=True,
        metavar="A,B",
        help=f"what the speakers consented to: some of {','.join(CONSENT_PURPOSES)}",
    )
    parser.add_argument("--consent-by", default=IMPORTER, metavar="NAME", help="who says so (default: %(default)s)")
    parser.add_argument("--consent-wording", metavar="TEXT", help="what they agreed to: its words or their version")
    parser.add_argument("--speaker", metavar="NAME", help="who speaks, if it is one person")
    parser.add_argument(
        "--keep-whole", action="store_true", help="also keep the whole recording, under the same consent"
    )
    parser.add_argument("--channels", choices=CHANNEL_MODES, default="auto", help="see `python -m ser timeline`")
    add_json(parser)


def run_cut(options: argparse.Namespace) -> int:
    """Cut; returns 1 if a recording was left out, 2 if nothing could be done."""
    grants = grant(options.consent, options.consent_by, options.consent_wording)
    paths = list(expand(options.files))
    if not paths:
        raise AudioError(f"No recording was found in {', '.join(options.files)}. Name audio files, or folders of them.")
    added, failed = dict[str, int](), list[tuple[str, str]]()
    with AnnotationStore(options.data_dir) as store:
        active = load_active(store)
        for path in tqdm(paths, desc="cut", unit="file", disable=None):
            try:
                recording = read_long(path)
                if options.keep_whole:
                    keep_whole(store, recording, grants, options.speaker)
                added[str(path)] = cut_recording(active, recording, grants, options.speaker, options.channels)
            except AudioError as error:
                failed.append((str(path), str(error)))
    for name, reason in failed:
        print(f"{name}: {reason}", file=sys.stderr)
    result = {"clips": added, "failed": [{"file": name, "error": reason} for name, reason in failed]}
    lines = [f"{count} {'clip was' if count == 1 else 'clips were'} cut from {name}." for name, count in added.items()]
    print_result(result, lines, options.json)
    return 1 if failed else 0


def cut_recording(
    active: ActiveModel, recording: LongRecording, grants: Sequence[Grant], speaker: str | None, channels: str
) -> int:
    """Store the regions of a recording's timeline as clips, each with the model's answer.

    Returns:
        How many clips there are of it.

    Raises:
        AudioError: if it cannot be read, holds no speech, or was erased here.
    """
    store, serving = active.store, active.serving()
    sha256 = recording.sha256()
    if was_erased(store, sha256):
        raise AudioError(ERASED)
    timeline = serving.recognizer.timeline(recording, channels)
    count = 0
    for region, (start, end), audio in _pieces(recording, timeline):
        name = " ".join(filter(None, (speaker, region.speaker))) if speaker else None
        clip = NewClip(
            "long recording",
            speaker=name,
            session=f"recording {sha256[:16]} {region.speaker or ''}",
            grants=tuple(grants),
            parent=Parent(sha256, start, end),
        )
        _store(store, serving, audio, clip)
        count += 1
    return count


def keep_whole(store: AnnotationStore, recording: LongRecording, grants: Sequence[Grant], speaker: str | None) -> None:
    """Store a whole recording, all channels mixed, as the parent of its clips; nobody is asked to label it.

    Raises:
        AudioError: if it is too long to be kept, or was erased here.
    """
    if recording.duration > LONGEST_WHOLE:
        raise AudioError(
            f"The recording has {recording.duration / 60:.0f} minutes; at most {LONGEST_WHOLE / 60:.0f} are kept "
            "whole. Leave out --keep-whole, or divide it."
        )
    if was_erased(store, recording.sha256()):
        raise AudioError(ERASED)
    audio = Audio(np.concatenate(list(recording.blocks())))
    clip = NewClip(WHOLE, speaker=speaker, session=f"recording {audio.sha256[:16]}", grants=tuple(grants))
    store.write_clip(audio, lambda connection: insert_clip(connection, audio, clip))


def _pieces(recording: LongRecording, timeline: Timeline) -> Iterator[tuple[FeelingRegion, tuple[float, float], Audio]]:
    """The regions of each channel with their sound, those that are too long in equal parts."""
    by_channel: dict[int | None, list[tuple[FeelingRegion, tuple[float, float]]]] = defaultdict(list)
    for region in timeline.regions:
        parts = math.ceil((region.end - region.start) / LONGEST)
        size = (region.end - region.start) / parts
        by_channel[region.channel] += [
            (region, (region.start + part * size, region.start + (part + 1) * size)) for part in range(parts)
        ]
    for channel, pieces in by_channel.items():
        alone = channel - 1 if channel is not None and recording.channels > 1 else None
        crops = recording.crops([span for _, span in pieces], alone)
        for (region, span), audio in zip(pieces, crops, strict=True):
            yield region, span, audio


def _store(store: AnnotationStore, serving: Serving, audio: Audio, clip: NewClip) -> None:
    """Store a clip and the answer to it, if there is one: of a short part alone there may be none."""
    answer: Recognition | None
    try:
        answer = serving.recognizer.recognize(audio)
    except AudioError:
        answer = None

    def write(connection: Connection) -> None:
        known = connection.execute("SELECT 1 FROM clips WHERE sha256 = ?", (audio.sha256,)).fetchone()
        stored = insert_clip(connection, audio, clip)
        if answer is not None and known is None:
            insert_prediction(connection, stored.id, answer, serving.version.id)

    store.write_clip(audio, write)
