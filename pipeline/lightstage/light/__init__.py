"""Samples distant lightings.

May import `assets` and `core`; light maps themselves are `pipeline.lighting.light_map`.
"""
