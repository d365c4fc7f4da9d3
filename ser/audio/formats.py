"""Endings of files that count as recordings, for every part of the program that looks through folders and archives."""

AUDIO_SUFFIXES = frozenset(
    (
        ".wav .wave .w64 .flac .ogg .oga .opus .mp3 .mp2 .m4a .mp4 .mov .3gp .3g2 .aac .webm .weba .mka .mkv "
        ".wma .asf .aif .aiff .aifc .caf .au .snd .amr .avi"
    ).split()
)
"""Endings in lower case. A file that is named itself is always tried: its content decides."""

FORMATS = "wav, mp3, ogg, opus, flac, m4a, webm, aac, wma, caf or aiff"
"""The most common ones, for messages."""
