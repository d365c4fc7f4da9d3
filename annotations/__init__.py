"""The store of clips, votes and model versions, and the loop that turns votes into a better model."""
