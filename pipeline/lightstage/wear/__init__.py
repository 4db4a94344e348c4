"""Meshes that people wear: glasses and head coverings, fitted to a head.

May import `surface` and `core`.
"""
