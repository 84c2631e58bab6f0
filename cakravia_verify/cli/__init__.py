"""The operator's command, one file per group of commands."""
