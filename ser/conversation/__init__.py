"""Conversations: the feeling of each turn given those before it, what caused it, and a reply that shows understanding.

Stands on recognition and never the other way round: nothing here is loaded before a conversation is asked for.
"""
