"""What a model's meta.json says of the data it was trained on. Knows no model."""

from collections import Counter
from collections.abc import Sequence

from ser.types import Example


def describe(
    examples: Sequence[Example], dev: Sequence[Example] = (), replay: Sequence[Example] = ()
) -> dict[str, object]:
    """What meta.json says of the data: counts, labels, speakers."""
    return {
        "clips": dict(Counter(example.corpus for example in examples)),
        "labels": dict(sorted(Counter(example.hard_label for example in examples).items())),
        "speakers": sorted({example.speaker for example in examples}),
        "dev_speakers": sorted({example.speaker for example in dev}),
        "dev_clips": len(dev),
        "replayed_clips": len(replay),
    }
