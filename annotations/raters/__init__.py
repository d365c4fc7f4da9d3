"""People, their votes, and how far votes can be relied upon."""
