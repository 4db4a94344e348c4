"""Trains the tri-plane network on the light stage: sittings rendered once, then many epochs."""
