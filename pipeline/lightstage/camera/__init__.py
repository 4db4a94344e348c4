"""Webcams: framing, lens, sensor, image signal processor, encoder, backdrop and occluders.

May import `core`.
"""
