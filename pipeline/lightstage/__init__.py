"""The light stage: people that nobody photographed, under lights that we know.

Renders heads made from MakeHuman's and ICT-FaceKit's meshes, for training and for measuring.
Needs the extra `train` (moderngl, embreex, scipy), and `truth` for the reference renderers.
"""
