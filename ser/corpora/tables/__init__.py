"""Tables of recordings and labels as people and programs write them, read line by line; opens no audio."""
