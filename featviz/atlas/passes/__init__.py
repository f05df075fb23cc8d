"""One pass of many images through a network: where they come from, what is kept of them.

A pass that was stopped goes on where it was; examples/ and neighbours/ are made of passes.
"""
