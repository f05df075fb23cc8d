"""Every unit of a network named by what it answers to: the family map."""
