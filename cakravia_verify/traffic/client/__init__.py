"""The strict HTTP client. Imports gevent: child process only."""
