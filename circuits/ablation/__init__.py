"""Edits of a network that are undone afterwards, and what they change."""
