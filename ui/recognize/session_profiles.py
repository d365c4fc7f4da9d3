"""Profile of one visitor's recordings, kept in memory while their page is open. Knows no component."""

import threading
from collections import OrderedDict

from ser.encoder.profiles import SOURCE, Profile, Profiles
from ser.explanation.cues import VoiceCues, measure_cues, usual_cues
from ser.types import Audio, Recognition

MAX_CUES = 32
"""Newest recordings of a session whose voice cues are remembered."""

MAX_SESSIONS = 16
"""Sessions whose recordings are remembered, those used last: each takes up to 5 MB."""


class SessionProfiles:
    """A profile of the place for each session; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._profiles: OrderedDict[str, Profile] = OrderedDict()
        self._cues: dict[str, list[VoiceCues]] = {}
        self._neutral: OrderedDict[str, Profile] = OrderedDict()

    def of(self, session: str) -> Profiles:
        """The session's profile, as a recogniser takes it."""
        with self._lock:
            return Profiles(source=self._profiles.get(session), neutral=self._neutral.get(session))

    def set_neutral(self, session: str, profile: Profile | None) -> None:
        """Keep the neutral voice of a session in place of an earlier one; None forgets it."""
        with self._lock:
            self._neutral.pop(session, None)
            if profile is not None:
                self._neutral[session] = profile
            while len(self._neutral) > MAX_SESSIONS:
                self._neutral.popitem(last=False)

    def usual_cues(self, session: str) -> VoiceCues | None:
        """The usual voice cues of a session's recordings before the newest one; None if there are none."""
        with self._lock:
            earlier = self._cues.get(session, [])[:-1]
        return usual_cues(earlier) if earlier else None

    def add(self, session: str, answer: Recognition, audio: Audio) -> None:
        """Count one more recording of a session; the session that was used longest ago is forgotten if need be."""
        if answer.embedding is None:
            return
        cues = measure_cues(audio, answer.speech)
        newest = Profile.of(SOURCE, answer.embedding.encoder, answer.embedding.vector[None])
        with self._lock:
            known = self._profiles.pop(session, None)
            # Another model may have another encoder; its embeddings say nothing of the earlier ones.
            same = known is not None and known.encoder == newest.encoder
            self._profiles[session] = known.merge(newest) if known is not None and same else newest
            self._cues[session] = [*self._cues.get(session, []), cues][-MAX_CUES:]
            while len(self._profiles) > MAX_SESSIONS:
                forgotten, _ = self._profiles.popitem(last=False)
                self._cues.pop(forgotten, None)

    def release(self, session: str) -> None:
        """Forget a session."""
        with self._lock:
            for kept in (self._profiles, self._cues, self._neutral):
                kept.pop(session, None)
