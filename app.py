"""Speech Emotion Studio: start it with `make run`, or `python app.py --help`. A Hugging Face Space runs this file."""

import sys

from ui.backend.server import main

if __name__ == "__main__":
    sys.exit(main())
