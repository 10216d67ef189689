"""Intervals and tests that know that pairs about one image belong together."""
