"""What an application says of itself, and how we ask."""
