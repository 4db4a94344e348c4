"""A head in a frame: its pose, its canonical space, its crop, its normals."""
