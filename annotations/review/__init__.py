"""The queue of clips to label: order, leases, items."""
