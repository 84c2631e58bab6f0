"""The settings of a site: one model for each section, and the loader."""
