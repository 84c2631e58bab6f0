"""The platforms that run the slots."""
