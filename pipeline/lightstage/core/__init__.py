"""Geometry that every part of the light stage uses."""
