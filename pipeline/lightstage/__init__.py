"""The light stage: synthetic people under known lights, for training and measuring.

Renders heads made from MakeHuman's and ICT-FaceKit's meshes. Needs the extra `train` (moderngl,
embreex, scipy), and `truth` for the reference renderers. The rooms, each may import those below:

    clips | ground_truth | build    what is made: training clips, reference renders, the asset pack
    person | camera | render        who is seen, through what, and how it is drawn
    wear
    surface | light
    assets | animation
    core

Imports `core`, `face` and `lighting` of the pipeline; `ground_truth` also `evaluate`, which knows
nothing of the light stage.
"""
