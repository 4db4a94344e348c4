"""Trains the tri-plane network on captures of the light stage.

Captures are rendered once and used for many epochs. May import the light stage, the tri-plane
engine's network, and the pipeline's `core`, `face`, `head` and `lighting`; nothing imports it.
"""
