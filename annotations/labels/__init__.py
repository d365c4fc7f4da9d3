"""The label set of a store: its labels, their look, and what they mean in the seven emotions."""
