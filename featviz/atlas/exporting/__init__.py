"""Hand an atlas on to other programs and people: whole, or not at all. One file a format."""
