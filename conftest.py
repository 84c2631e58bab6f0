"""The operator's session: report defaults and nothing else."""
