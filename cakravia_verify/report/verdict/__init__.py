"""verdict.json: its file, its schema, and how it is checked again."""
