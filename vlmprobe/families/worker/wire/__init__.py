"""How a model in another process is spoken to."""
