"""Acoustic and text scores -> one answer; how the shipped rule and those from votes are fitted."""
