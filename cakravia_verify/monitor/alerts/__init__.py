"""From readings to alerts: pure functions and frozen facts."""
