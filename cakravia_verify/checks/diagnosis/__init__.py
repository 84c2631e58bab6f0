"""What is wrong with a site that does not work: evidence, then causes in the order of their likelihood."""
