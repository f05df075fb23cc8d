"""Weights between two sites as kernels: composed, gated, and checked against gradients."""
