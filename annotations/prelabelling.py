"""Lets the model in use answer for stored clips, so that the review queue knows which are uncertain.

Knows the recogniser, not the models behind it.
"""

from collections.abc import Callable, Iterable, Sequence

from annotations.active_model import ActiveModel
from ser.audio import decode_file
from ser.errors import SerError

Progress = Callable[[Sequence[int]], Iterable[int]]
"""Wraps the clips to show how far it is."""


def recognize_clips(active: ActiveModel, clip_ids: Iterable[int], progress: Progress = list) -> list[tuple[str, str]]:
    """Store an answer for each clip that the version in use has not heard yet.

    Args:
        active: what answers.
        clip_ids: of stored clips.
        progress: shows how far it is.

    Returns:
        (file, reason) of clips that have no answer, such as those without speech.
    """
    store, version = active.store, active.version
    with store.reading() as connection:
        rows = connection.execute("SELECT DISTINCT clip_id FROM predictions WHERE model_version_id = ?", (version.id,))
        heard = {row["clip_id"] for row in rows}
    failed = []
    for clip_id in progress([clip_id for clip_id in clip_ids if clip_id not in heard]):
        clip = store.get_clip(clip_id)
        try:
            recognition = active.recognizer.recognize(decode_file(store.clip_path(clip)))
        except SerError as error:
            failed.append((clip.path, str(error)))
            continue
        store.add_prediction(clip_id, recognition, version.id)
    return failed
