"""Runs a model: shared prefixes, captured states, decoding, devices."""
