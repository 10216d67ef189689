"""How a model is run: shared prefixes, captured states, decoding, devices."""
