"""Speed beside the peers, paired in one run."""
