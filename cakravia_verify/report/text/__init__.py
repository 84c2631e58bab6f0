"""The report as text, for terminals and job summaries."""
