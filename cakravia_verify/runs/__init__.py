"""One run of each kind, without pytest."""
