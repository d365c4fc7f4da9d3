"""Training runs: their queue, their worker process and its status."""
