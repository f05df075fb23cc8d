"""Parts of the page of a unit, one a file: what an atlas says of it, what its network does."""
