"""Recordings: from bytes to checked 16 kHz `Audio`, its quality and speech, and what augmentation changes."""
