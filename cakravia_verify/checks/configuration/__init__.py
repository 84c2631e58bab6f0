"""What the configuration must fulfil: one file a check."""
