"""What a good listener might say next: offered to a person, never sent by itself."""
