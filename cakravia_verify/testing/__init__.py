"""A site in memory, for tests."""
