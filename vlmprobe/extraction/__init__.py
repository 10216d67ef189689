"""Extraction: from pairs and a model to shards and rows. Knows families and the store; no study."""
