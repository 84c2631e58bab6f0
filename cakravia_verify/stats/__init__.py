"""Mathematics without a domain."""
