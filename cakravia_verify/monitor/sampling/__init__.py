"""The sources of samples: each reads one part of the site in a thread of its own."""
