"""Copies of stored clips for the API, in Gradio's cache folder, under names that cannot be guessed.

They are deleted by the page's `delete_cache`; the store's own folder is never served.
"""

import secrets
import shutil
from pathlib import Path

from gradio.utils import get_upload_folder


def served_copy(path: Path, clip_id: int) -> Path:
    """Copy a clip's file to where Gradio may serve it.

    Args:
        path: of the store's FLAC file.
        clip_id: becomes the name.

    Returns:
        The copy.
    """
    folder = Path(get_upload_folder()) / secrets.token_hex(32)
    folder.mkdir(parents=True)
    return Path(shutil.copyfile(path, folder / f"clip-{clip_id}.flac"))
