"""What the monitor remembers of a site: raw samples, minutes and hours, in one SQLite file."""
