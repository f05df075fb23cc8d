"""What is worth knowing about an atlas (findings), measured where it must be, on one page."""
