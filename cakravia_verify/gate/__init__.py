"""The rule that decides a release: pure, imports no other room."""
