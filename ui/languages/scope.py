"""Modules with texts for people, and strings that are none."""

import re

from annotations.learning.config import PRESETS
from annotations.raters.people import ROLES
from annotations.store.records import CONSENT_PURPOSES, RUN_STATUSES, TARGETS, VERDICTS
from ser.labels import EMOTIONS
from ui.parts.palette import UNSURE

COMMAND_LINE = (
    "annotations/cli.py",
    "annotations/commands",
    "annotations/elsewhere",
    "annotations/learning/runs/zero_gpu.py",
    "annotations/maintenance/inspection.py",
    "annotations/maintenance/repair.py",
    "ser/__init__.py",
    "ser/cli.py",
    "ser/commands",
    "ser/config.py",
    "ser/conversation/guard/recipe.py",
    "ser/conversation/model/dialogues.py",
    "ser/conversation/model/recipe.py",
    "ser/corpora/__init__.py",
    "ser/corpora/acted.py",
    "ser/corpora/copies.py",
    "ser/corpora/corpus.py",
    "ser/corpora/fingerprints.py",
    "ser/corpora/iemocap.py",
    "ser/corpora/layouts.py",
    "ser/corpora/splits.py",
    "ser/evaluation",
    "ser/export",
    "ser/fusion/recipe.py",
    "ser/scoring",
    "ser/testing.py",
    "ser/text/config.py",
    "ser/text/data.py",
    "ser/text/language_models.py",
    "ser/text/network.py",
    "ser/text/recipe.py",
    "ser/text/task.py",
    "ser/text/training.py",
    "ser/training/gradients/processes.py",
    "ser/training/recipe.py",
    "ser/training/run_logs.py",
    "ser/transcription/conversion.py",
    "ui/api",
    "ui/backend/boundary.py",
    "ui/backend/endpoint_guard.py",
    "ui/backend/logins.py",
    "ui/backend/server.py",
    "ui/backend/startup.py",
    "ui/conversation/endpoint.py",
    "ui/languages/extract.py",
    "ui/languages/markup.py",
    "ui/languages/scope.py",
    "ui/operations",
    "ui/parts/delivery.py",
    "ui/parts/style.py",
    "ui/live/routes.py",
)
"""What only programs and terminals meet; there it is English."""

SENTENCES = (
    "annotations/exchange/imports",
    "annotations/insights.py",
    "annotations/learning/drift.py",
    "annotations/learning/promotion",
    "annotations/learning/runs",
    "annotations/learning/targets",
    "annotations/learning/versions/diff.py",
    "annotations/learning/versions/registry.py",
    "annotations/maintenance/erasure",
    "annotations/raters",
    "annotations/review/queue.py",
    "annotations/review/table.py",
    "ser/audio",
    "ser/conversation/conversation.py",
    "ser/conversation/summary.py",
    "ser/corpora/tables/audformats.py",
    "ser/corpora/tables/files.py",
    "ser/corpora/tables/tasks.py",
    "ser/corpora/tables/trees.py",
    "ser/encoder/profiles.py",
    "ser/face",
    "ser/fusion/remarks.py",
    "ser/language_model/opinion.py",
    "ser/recognizer.py",
    "ser/timeline/timeline.py",
    "ser/transcription/__init__.py",
    "ser/types.py",
)
"""Modules below the page whose sentences it shows; of the others it shows the messages of errors alone."""

WORDS = (
    *(*EMOTIONS, UNSURE, *ROLES, *CONSENT_PURPOSES, *RUN_STATUSES, *TARGETS, *PRESETS, *VERDICTS),
    *("UAR", "WAR", "consents", "corrections", "embeddings", "predictions", "suspects"),
    *(
        "any",
        "calm",
        "clean",
        "excited",
        "ignore",
        "medium",
        "pleasant",
        "private",
        "unpleasant",
        "idle",
        "damaged",
        "missing",
    ),
    *(
        "decode",
        "vad",
        "transcription",
        "total",
        "speech_detector",
        "source",
        "language",
        "skipped",
        "labelled",
        "saved",
        "yours",
    ),
    *(f"for {purpose}" for purpose in CONSENT_PURPOSES),
)
"""Values that are shown as they are stored, and single words, which could be names for programs as well."""

GRADIO = (
    *(
        "Click to Upload",
        "Click to upload or drop files",
        "Drop Audio Here",
        "Drop File Here",
        "- or -",
        "Play",
        "Pause",
    ),
    *("Record audio", "Upload file", "Use via API", "Settings", "Error", "Warning", "Info", "Clear", "Copy", "Empty"),
    *("number input for {label}", "range slider for {label}", "Reset to default value", "Gradio footer navigation"),
    *("Drop an audio file here to upload", "Adjust playback speed to {speed}x", "logo"),
    *("Skip backwards by {seconds} seconds", "Skip forward by {seconds} seconds"),
    *("processing", "queue: {place}/{size}", "Loading", "Uploading", "Uploading {number} files..."),
    *(
        "Stop recording",
        "Pause recording",
        "Resume recording",
        "Record",
        "No microphone found",
        "Adjust volume",
        "Select input device",
    ),
)
"""Gradio's own texts on this page."""

CODE = re.compile(
    r"\b(SELECT|INSERT|UPDATE|DELETE|WHERE|PRAGMA|JOIN|AND|IS|IN|NULL) "
    r"|^python -m|^https?:|^data[:-]|^[LM][\d{]|^[#.]\S"
    r"|^\(\?:|\\d|^%\(|=>|[=}] \?|\[[\w-]+=|\(type=|\w#\w|:not\(|^td\.|^tbody |\} input$|^a, button"
    r"|^label voted|^aria-sort|--[a-z]+-|[=;{]$|^\S+=\"|^file_name sha"
    r"|^tl-|^(answer|status) [a-z{-]+( busy|\}| \{kind\})?$"
)
"""What is for programs, though it has words."""

KEYS = ("Escape", "Enter", "Arrow", "Tab", "Home", "End", "Content", "Lax", "Secure")

QUIET = ("print", "debug", "info", "warning", "error", "exception", "add_argument", "add_parser", "execute", "fetch")
"""Calls whose texts are for logs, terminals and the database."""

BUILT_IN = ("ValueError", "TypeError", "KeyError", "RuntimeError", "AttributeError", "NotImplementedError", "OSError")
"""Errors that no person sees."""
