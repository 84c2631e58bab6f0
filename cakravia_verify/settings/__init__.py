"""The settings of a site: sections and loading."""
