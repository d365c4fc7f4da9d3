"""Training by gradients, all of it by one loop: audio encoders, text models and speech recognisers. Needs torch."""
