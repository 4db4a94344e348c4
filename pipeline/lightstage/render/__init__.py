"""The rasterizer and the light transport that it shades with."""
