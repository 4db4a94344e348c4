"""What the light should be: presets, lights, SH files, HDRIs, and light estimated from a photo."""

from pipeline.lighting.lighting import AUTO, OFF, Lighting

__all__ = ["AUTO", "OFF", "Lighting"]
