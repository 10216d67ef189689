"""Axes and angles with intervals that cover, from products of different images."""
