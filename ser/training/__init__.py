"""Training: heads on embeddings, and networks by one gradient loop."""
