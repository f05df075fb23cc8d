"""Circuits as graphs: built by a score, checked by ablation, drawn."""
