"""nginx: rendered, validated, switched and observed."""
