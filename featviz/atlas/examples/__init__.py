"""Dataset examples: images that excite each unit, found in a pass, and what it saw of them."""
