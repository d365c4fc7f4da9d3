"""The store of clips, votes and model versions: a folder of recordings and one SQLite database."""

from annotations.store.new_records import NewClip, NewVote, grant
from annotations.store.store import DATABASE, AnnotationStore

__all__ = ["DATABASE", "AnnotationStore", "NewClip", "NewVote", "grant"]
