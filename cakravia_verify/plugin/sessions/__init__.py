"""One file per kind of session."""
