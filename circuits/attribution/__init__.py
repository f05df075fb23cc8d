"""Which units made this one fire: contributions, gradients, relevance, patching."""
