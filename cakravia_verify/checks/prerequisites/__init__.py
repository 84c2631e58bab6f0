"""What a site needs before anything is released: one file a check."""
