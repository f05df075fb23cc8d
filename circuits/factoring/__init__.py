"""Weights as a few factors, and how banded or superposed they are."""
