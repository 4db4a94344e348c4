"""Skin, facial hair and cloth as textures.

May import `core`.
"""
