"""nginx in a container."""
