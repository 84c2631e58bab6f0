"""What a release leaves behind for people and for pipelines: the page, the verdict, the summaries."""
