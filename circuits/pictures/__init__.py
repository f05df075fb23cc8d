"""Kernels and families as pictures and as files, each beside its feature image."""
