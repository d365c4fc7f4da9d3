"""The comparison of a candidate with the current model on held-out votes, and its decision."""
