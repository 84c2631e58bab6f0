"""The configuration of nginx, rendered from the settings."""
