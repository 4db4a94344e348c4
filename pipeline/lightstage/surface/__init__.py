"""Skin, facial hair and cloth as textures."""
