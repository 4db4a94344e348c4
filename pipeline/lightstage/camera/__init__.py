"""Cameras: framing, lens, sensor, encoder, and what comes before them."""
