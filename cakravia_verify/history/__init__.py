"""The journal file, and the releases that are read from it."""
