"""The asset pack, MakeHuman's formats, and where landmarks lie on its mesh.

May import `core`.
"""
