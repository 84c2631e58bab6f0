"""The proxy: its protocol, its flags, its certificate and its configuration."""
