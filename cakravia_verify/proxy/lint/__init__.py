"""Rules for nginx configurations under which a release loses, doubles or hides no request."""
