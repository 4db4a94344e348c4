"""The rasterizer and the traced light transport that it shades with.

May import `core`.
"""
