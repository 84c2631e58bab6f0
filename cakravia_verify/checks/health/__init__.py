"""What answers of health endpoints must fulfil: one file a check. Each returns what is wrong, '' if nothing is."""
