"""Speech emotion recognition: audio in, `Recognition` out. Knows no database and no page."""
