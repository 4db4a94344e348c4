"""Sessions on many machines."""
