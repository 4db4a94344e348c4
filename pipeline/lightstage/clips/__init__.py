"""Rendered clips with all their channels, one by one or as a stream."""
