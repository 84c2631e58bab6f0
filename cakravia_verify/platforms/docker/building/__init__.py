"""Building images with the engine's BuildKit."""
