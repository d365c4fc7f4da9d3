"""A causal language model, from a checkpoint or behind an endpoint: probabilities of labels, and free text."""
