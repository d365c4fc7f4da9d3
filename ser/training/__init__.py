"""Training: heads on embeddings without torch, and pretrained networks by one gradient loop."""
