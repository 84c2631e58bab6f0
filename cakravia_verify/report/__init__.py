"""What a release leaves for people and machines to decide from."""
