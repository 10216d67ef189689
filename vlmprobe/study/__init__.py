"""Selects the runs to compare, reads their values and assigns them to figures. Imports no model code."""
