"""The results of a release for people and for pipelines: the page, the verdict, the summaries."""
