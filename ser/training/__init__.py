"""Training: heads on embeddings without torch, checkpoints of others by one loop of gradients."""
