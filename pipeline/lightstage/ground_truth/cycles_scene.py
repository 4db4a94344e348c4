"""Renders one scene file with Blender's Cycles: `PYTHON cycles_scene.py SCENE.npz OUT.npz`.

It runs in an environment of its own, with PyPI's `bpy` 5.0 (which needs NumPy below 2), and so
imports nothing of this project; `cycles_dataset` writes the scene and reads what comes out.
"""

import math
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np

BOUNCES = 6
SCATTER_RATIOS = (1.0, 0.36, 0.2)  # of the mean free paths of red, green and blue in skin


def main() -> None:
    """Reads the scene, renders it under each of its lights and writes the images."""
    with np.load(sys.argv[1], allow_pickle=False) as archive:
        scene = {name: archive[name] for name in archive.files}
    bpy.ops.wm.read_factory_settings(use_empty=True)
    for index in range(int(scene["parts"])):
        add_part(index, {key: scene[f"{index}/{key}"] for key in PART_KEYS})
    add_camera(scene)
    sky = add_sky()
    set_up(scene)
    images = []
    with tempfile.TemporaryDirectory() as folder:
        for number, light in enumerate(scene["lights"]):
            sky.image = image_of(f"sky{number}", to_blender_sky(light), "Non-Color")
            images.append(render(Path(folder) / f"{number}.exr"))
    np.savez(sys.argv[2], images=np.stack(images))


PART_KEYS = ("positions", "normals", "uvs", "triangles", "texture", "blended", "coat",
             "roughness", "f0", "scatter")  # fmt: skip


def add_part(index: int, part: dict[str, np.ndarray]) -> None:
    """Adds one part; Blender's z is up, its y points away from the camera."""
    mesh = bpy.data.meshes.new(f"part{index}")
    triangles = part["triangles"]
    mesh.from_pydata(to_blender(part["positions"]).tolist(), [], triangles.tolist())
    layer = mesh.uv_layers.new()
    layer.data.foreach_set("uv", part["uvs"][triangles.ravel()].astype(np.float32).ravel())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(triangles), bool))
    mesh.normals_split_custom_set_from_vertices(to_blender(part["normals"]).tolist())
    thing = bpy.data.objects.new(f"part{index}", mesh)
    thing.data.materials.append(material_of(index, part))
    bpy.context.scene.collection.objects.link(thing)


def to_blender(vectors: np.ndarray) -> np.ndarray:
    """`(N, 3)` world vectors (y up) in Blender's axes (z up)."""
    return np.stack([vectors[:, 0], -vectors[:, 2], vectors[:, 1]], axis=1)


def material_of(index: int, part: dict[str, np.ndarray]) -> "bpy.types.Material":
    """A principled surface, with scattering where the material has it, or a clear coat."""
    material = bpy.data.materials.new(f"part{index}")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    surface = nodes["Principled BSDF"]
    root = math.sqrt(float(part["f0"]))
    surface.inputs["IOR"].default_value = (1 + root) / (1 - root)
    surface.inputs["Roughness"].default_value = float(part["roughness"])
    if part["coat"]:
        add_coat(material, float(part["roughness"]), (1 + root) / (1 - root))
        return material
    texture = nodes.new("ShaderNodeTexImage")
    texture.image = image_of(f"part{index}", part["texture"][::-1] / np.float32(255), "sRGB")
    links.new(texture.outputs["Color"], surface.inputs["Base Color"])
    if part["blended"]:
        links.new(texture.outputs["Alpha"], surface.inputs["Alpha"])
    if part["scatter"] > 0:
        surface.subsurface_method = "RANDOM_WALK_SKIN"
        surface.inputs["Subsurface Weight"].default_value = 1.0
        surface.inputs["Subsurface Radius"].default_value = SCATTER_RATIOS
        surface.inputs["Subsurface Scale"].default_value = float(part["scatter"])
    return material


def add_coat(material: "bpy.types.Material", roughness: float, ior: float) -> None:
    """Makes a clear coat: glossy by Fresnel's law, else transparent."""
    nodes, links = material.node_tree.nodes, material.node_tree.links
    mix, clear = nodes.new("ShaderNodeMixShader"), nodes.new("ShaderNodeBsdfTransparent")
    gloss, fresnel = nodes.new("ShaderNodeBsdfAnisotropic"), nodes.new("ShaderNodeFresnel")
    gloss.inputs["Roughness"].default_value = roughness
    fresnel.inputs["IOR"].default_value = ior
    # Light that leaves through the coat's back must not be reflected totally: there is no volume.
    front, back = nodes.new("ShaderNodeMath"), nodes.new("ShaderNodeNewGeometry")
    front.operation, front.use_clamp = "SUBTRACT", True
    links.new(fresnel.outputs["Fac"], front.inputs[0])
    links.new(back.outputs["Backfacing"], front.inputs[1])
    links.new(front.outputs["Value"], mix.inputs["Fac"])
    links.new(clear.outputs["BSDF"], mix.inputs[1])
    links.new(gloss.outputs["BSDF"], mix.inputs[2])
    links.new(mix.outputs["Shader"], nodes["Material Output"].inputs["Surface"])


def image_of(name: str, pixels: np.ndarray, space: str) -> "bpy.types.Image":
    """An image of `(H, W, 3 or 4)`, rows from bottom to top."""
    height, width, channels = pixels.shape
    image = bpy.data.images.new(name, width, height, alpha=True, float_buffer=space == "Non-Color")
    image.colorspace_settings.name = space
    image.alpha_mode = "CHANNEL_PACKED"
    full = np.ones((height, width, 4), np.float32)
    full[..., :channels] = pixels
    image.pixels.foreach_set(full.ravel())
    return image


def to_blender_sky(light: np.ndarray) -> np.ndarray:
    """A light map as Blender's environment texture, fine enough for nearest neighbours.

    Its centre column is the direction -y; columns run clockwise seen from above.
    """
    fine = np.repeat(np.repeat(light, 8, axis=0), 8, axis=1)
    return np.roll(fine, fine.shape[1] // 4, axis=1)[::-1]


def add_camera(scene: dict[str, np.ndarray]) -> None:
    """Adds the scene's camera and renders through it."""
    camera = bpy.data.cameras.new("camera")
    camera.sensor_fit = "VERTICAL"
    camera.angle = 2 * math.atan(0.5 / float(scene["focal"]))
    camera.clip_start = 0.1
    thing = bpy.data.objects.new("camera", camera)
    pose = np.eye(4)
    pose[:3, :3] = to_blender(scene["rotation"]).T  # columns are the camera's axes
    pose[:3, 3] = to_blender(scene["eye"][None])[0]
    thing.matrix_world = pose.T.tolist()  # Blender takes columns
    bpy.context.scene.collection.objects.link(thing)
    bpy.context.scene.camera = thing


def add_sky() -> "bpy.types.ShaderNodeTexEnvironment":
    """Adds an environment texture, which the lights are put into one after the other."""
    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    texture = world.node_tree.nodes.new("ShaderNodeTexEnvironment")
    texture.interpolation = "Closest"
    background = world.node_tree.nodes["Background"]
    world.node_tree.links.new(texture.outputs["Color"], background.inputs["Color"])
    return texture


def set_up(arrays: dict[str, np.ndarray]) -> None:
    """Sets Cycles up: samples, bounces, denoising, and linear float output with alpha."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = int(arrays["samples"])
    scene.cycles.seed = int(arrays["seed"])
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.use_denoising = True
    scene.cycles.max_bounces = BOUNCES
    scene.cycles.transparent_max_bounces = 16
    scene.cycles.pixel_filter_type = "BOX"
    scene.render.film_transparent = True
    scene.render.use_persistent_data = True
    scene.render.resolution_x = scene.render.resolution_y = int(arrays["size"])
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.color_depth = "32"


def render(path: Path) -> np.ndarray:
    """`(H, W, 4)` float32 linear RGBA, premultiplied."""
    scene = bpy.context.scene
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    pixels = np.empty(len(image.pixels), np.float32)
    image.pixels.foreach_get(pixels)
    return pixels.reshape(image.size[1], image.size[0], 4)[::-1]


if __name__ == "__main__":
    main()
