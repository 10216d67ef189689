"""Extraction: runs a model over pairs and stores the results. Imports families and the store, not study."""
