"""Starts `annotations.learning.runs.worker` under its former name, which runs queued by an earlier version use."""

import sys

from annotations.learning.runs.worker import main

if __name__ == "__main__":
    sys.exit(main())
