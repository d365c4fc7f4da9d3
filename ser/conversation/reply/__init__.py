"""Replies that a good listener might give: offered to a person, never sent by itself."""
