"""Corpora as their owners ship them -> Examples. Reads tables and names, opens no audio, knows nothing of training.

`read_corpus` takes any of them; `docs/corpora.md` lists the layouts, their labels, sources and licences.
"""

from ser.corpora.corpus import Corpus
from ser.corpora.layouts import LAYOUTS, load_corpus, read_corpus

__all__ = ["LAYOUTS", "Corpus", "load_corpus", "read_corpus"]
