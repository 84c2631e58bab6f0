"""The health endpoints' contract, and the probe that reads them."""
