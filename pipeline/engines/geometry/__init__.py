"""Ratio relighting from face geometry, without a network that relights."""
