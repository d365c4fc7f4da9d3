"""Logs as JSON lines, without personal data: no addresses, no messages of foreign errors, no values."""

import hashlib
import json
import logging
import re
import secrets
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?:/\d{1,3})?", re.IGNORECASE)
EXTRA = ("method", "route", "status", "s")
"""Attributes of a record that are written."""

SALT = secrets.token_bytes(16)
"""New at every start: lines of one run can be told to be of one address, and nothing else."""


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and where an error was raised."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_addresses(record.getMessage()),
        }
        line |= {name: getattr(record, name) for name in EXTRA if hasattr(record, name)}
        if record.exc_info and record.exc_info[0]:
            # The message of a foreign error may hold a name, a path or a text: its class and its place do.
            frames = traceback.extract_tb(record.exc_info[2])
            line["error"] = record.exc_info[0].__name__
            line["frames"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
        return json.dumps(line, ensure_ascii=False)


def without_addresses(text: str) -> str:
    """A text whose network addresses are marks, the same for the same address as long as the program runs.

    >>> without_addresses("from 93.184.216.34, and 2001:db8::1") != without_addresses("from 1.2.3.4, and ::1")
    True
    >>> "93.184" in without_addresses("from 93.184.216.34")
    False
    """
    return ADDRESS.sub(
        lambda found: f"address-{hashlib.blake2b(found[0].encode(), key=SALT, digest_size=4).hexdigest()}", text
    )


def write_json_logs() -> None:
    """Write the records of all loggers to standard error as JSON lines, requests included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("page").setLevel(logging.DEBUG)
    for chatty in ("httpx", "httpx2", "httpcore", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
