"""One row per request, from client, proxy and application."""
