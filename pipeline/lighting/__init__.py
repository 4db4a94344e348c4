"""What the light should be: presets, lights, SH files and HDRIs."""

from vcam_relight.pipeline.lighting.lighting import AUTO, OFF, Lighting

__all__ = ["AUTO", "OFF", "Lighting"]
