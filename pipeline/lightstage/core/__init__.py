"""Geometry and types that every room of the light stage uses; imports none of them."""
