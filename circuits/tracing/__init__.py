"""What a network computes between two sites, as a graph of ATen operations."""
