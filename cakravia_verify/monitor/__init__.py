"""The service that watches a site: samples, alerts, messages, and what it remembers."""
