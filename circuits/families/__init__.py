"""Groups of units: given, found or measured, put in order and tested."""
