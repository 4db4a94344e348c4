"""The asset pack and the conventions of MakeHuman's meshes."""
