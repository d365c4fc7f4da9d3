"""openSMILE's functionals of recordings: run by the Python of another environment, which has opensmile.

python worker.py FEATURE_SET < LIST > LOG: the list is JSON with `paths` and `out`; the answer goes to the file
`out` (npz: `values` of shape (clips, functionals), `seconds` of each clip). Imports nothing of this project, as the
project is not installed where it runs. openSMILE's licence forbids commercial use: it is a peer here, no dependency.
"""

import json
import sys
import time

import numpy as np
import opensmile  # type: ignore[import-not-found]
import soundfile
import soxr

SAMPLING_RATE = 16_000


def main() -> int:
    """Extract, and write the answer; 0."""
    request = json.load(sys.stdin)
    smile = opensmile.Smile(
        feature_set=getattr(opensmile.FeatureSet, sys.argv[1]), feature_level=opensmile.FeatureLevel.Functionals
    )
    # The first call loads openSMILE's configuration; a user who asks again does not pay for that.
    smile.process_signal(np.zeros(SAMPLING_RATE, dtype=np.float32), SAMPLING_RATE)
    values, seconds = [], []
    for path in request["paths"]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        signal = soxr.resample(samples.mean(axis=1), rate, SAMPLING_RATE)
        started = time.perf_counter()
        values.append(smile.process_signal(signal, SAMPLING_RATE).to_numpy(dtype=np.float32)[0])
        seconds.append(time.perf_counter() - started)
    np.savez(request["out"], values=np.stack(values), seconds=np.array(seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
