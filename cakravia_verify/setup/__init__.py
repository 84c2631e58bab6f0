"""What changes a user's project: the settings file, copies of the suites, ignore rules, a pipeline."""
