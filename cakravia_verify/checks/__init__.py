"""Checks of a site: prerequisites, health, configuration and diagnosis. `cakravia doctor` and the suites share them."""
