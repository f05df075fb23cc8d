"""The hand-built curve network: ground truth for every method here."""
