"""Nearest units: by what excites them, and by what they are wired to, each beside chance."""
