"""The blue-green path: machine, steps, conditions."""
