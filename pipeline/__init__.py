"""Portrait relighting: an image and a lighting in, the same image under that lighting out.

Knows nothing of cameras or sockets. The path of a frame:

    face/         who is where: landmarks, person mask           -> FaceState
    head/         pose; a normal for each pixel
    lighting/     presets, SH files, HDRIs, photos               -> Lighting
                  source lighting, then the target for this frame
    engines/      head, source and target lighting               -> LightRequest
    compositing/  frame times gain                               -> image
    relighter     the above for one stream
"""
