"""The dialogue model: a sentence encoder that reads turns in order, with heads for feelings and their causes."""
