"""In-memory platform for tests."""
