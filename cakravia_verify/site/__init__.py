"""One site: its parts, its observed state and its lock."""
