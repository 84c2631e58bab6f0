"""Messages that arrive: a durable outbox and the channels that carry them."""
