"""Erasure of clips, speakers and raters, everywhere and for good."""
