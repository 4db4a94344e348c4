"""The measure: how well an engine relights, against truth that was rendered."""
