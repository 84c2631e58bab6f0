"""The traffic generator. Imports Locust: child process only."""
