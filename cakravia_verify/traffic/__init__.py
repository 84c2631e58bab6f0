"""The load a release runs under, and the account of every request in it."""
