"""The page of the monitor: its snapshot of a site, the page itself, and how browsers get it."""
