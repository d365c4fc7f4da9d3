"""The conversation tab: turns with their feelings, what caused them, and what could be answered."""
