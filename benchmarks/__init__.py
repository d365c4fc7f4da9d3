"""One command for each measurement, by its short name whatever folder holds it: `python -m benchmarks.folds`.

Imports name the folder, as everywhere: `benchmarks.acoustic.folds`.
"""

from pathlib import Path

FOLDERS = ("acoustic", "words", "loop", "data", "speed")
"""Folders of commands; `gate`, `peers` and `store` are commands of several modules."""

__path__ += [str(Path(__file__).parent / folder) for folder in FOLDERS]
