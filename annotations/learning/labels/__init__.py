"""Labels to train on, made from the votes."""
