"""Portrait relighting: a picture and a lighting in, the same picture under that light out.

Knows nothing of cameras, sockets or threads. The path of a picture:

    face/      who is where: landmarks, person mask          -> FaceState
    geometry   landmarks and mask -> a normal for each pixel
    lighting/  presets, SH files, HDRIs                      -> Lighting
    like       the light of a photo                          -> Lighting
    geometry_engine, composition  frame x target shading / present shading -> picture
    relighter  the above for one stream
"""
