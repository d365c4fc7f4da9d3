"""Clips of a corpus through four channels, embedded, with the features of each; made once and cached."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from annotations.learning.promotion.confounds import FEATURES, channel_features
from benchmarks.acoustic.degradations import conditions, read_held_out_noises
from benchmarks.loop.embedded_corpora import Clips, clip_paths, load_embedded
from ser.audio.decoding import decode_file
from ser.audio.vad import trim_to_speech
from ser.encoder.loading import load_encoder
from ser.encoder.windows import embed_clips
from ser.training.clip_embeddings import own_detector
from ser.training.embeddings import default_cache_dir
from ser.types import Audio, Signal

CHANNELS = ("clean", "telephone", "noise 20 dB", "reverberation")
CLIPS, SPEAKERS = 400, 12

Numbers = npt.NDArray[np.floating]


def through_channels(data: Path, corpus: str) -> list[Clips]:
    """The same clips of up to `SPEAKERS` speakers through each of `CHANNELS`, not projected."""
    known = load_embedded(data, corpus)
    rng = np.random.default_rng(0)
    speakers = rng.permutation(np.unique(known.speakers))[:SPEAKERS]
    rows = rng.permutation(np.flatnonzero(np.isin(known.speakers, speakers)))[:CLIPS]
    chosen = known.take(np.sort(rows))
    encoder = load_encoder()

    def embed(signal: Signal) -> Numbers:
        audio = Audio(signal)
        return embed_clips(encoder, [trim_to_speech(audio, own_detector().detect(audio)).signal])[0].astype(np.float16)

    embeddings = _cached(f"{corpus}-{encoder.sha256[:8]}-channels", chosen, data, embed)
    features = _cached(f"{corpus}-channels-{FEATURES}", chosen, data, channel_features)
    return [
        Clips(rows.astype(np.float32), chosen.truth, chosen.speakers, chosen.corpora, chosen.names, channel)
        for rows, channel in zip(embeddings, features, strict=True)
    ]


def _cached(name: str, clips: Clips, data: Path, measure: Callable[[Signal], Numbers]) -> Numbers:
    """Measure clips through every channel, shape (channels, clips, numbers)."""
    file = default_cache_dir() / "corpora" / f"{name}.npy"
    if not file.is_file():
        degrade = conditions(read_held_out_noises(data / "noise"))
        paths = clip_paths(data, str(clips.corpora[0]))
        signals = [decode_file(paths[clip]).signal for clip in clips.names.tolist()]
        measured = []
        for channel in tqdm(CHANNELS, desc=name, disable=None):
            rng = np.random.default_rng(0)
            measured.append([measure(degrade[channel](signal, rng)) for signal in signals])
        np.save(file, np.array(measured))
    return np.asarray(np.load(file))
