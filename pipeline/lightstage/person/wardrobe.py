"""The textures of what a person wears and has: skin, strands, eyes, teeth, clothes."""

import cv2
import numpy as np

from vcam_relight.pipeline.core.color import DECODE_8BIT, LUMINANCE_RGB, encode_srgb
from vcam_relight.pipeline.core.image import FloatArray
from vcam_relight.pipeline.lightstage.assets.asset_pack import AssetPack
from vcam_relight.pipeline.lightstage.core.scene import Texture
from vcam_relight.pipeline.lightstage.person.identity import Clothing, Identity
from vcam_relight.pipeline.lightstage.person.traits import PRINTED
from vcam_relight.pipeline.lightstage.surface import facial_hair, skin
from vcam_relight.pipeline.lightstage.surface.cloth import cloth
from vcam_relight.pipeline.lightstage.surface.skin import Colour

# Centres (u right, v down) of the two eyeballs in their texture, and the radii of their irises.
_IRIS_CENTRES, _IRIS_RADIUS = ((0.293, 0.703), (0.7055, 0.2975)), 0.1143
_PUPIL = 0.33  # of the iris's radius
_SCLERA = 0.72
_TEETH: Colour = (1.3, 1.14, 0.9)
_CLOTH_REPEATS = 3


def skin_texture(pack: AssetPack, identity: Identity) -> Texture:
    """The painted skin with its beard, `(SKIN_SIZE, SKIN_SIZE, 4)`."""
    texture = skin.paint(pack.skins[identity.photograph], pack.regions, identity.skin)
    if identity.beard is not None:
        texture = facial_hair.paint(texture, pack.regions, identity.beard)
    return texture


def strands(grey: Texture, colour: Colour) -> Texture:
    """Hair, brows or lashes of the linear RGB `colour` from a pack's grey texture."""
    detail = DECODE_8BIT[grey[..., :3]] * np.float32(4)
    linear: FloatArray = np.asarray(colour, np.float32) * np.maximum(detail, 0.02)
    return _with_alpha(linear, grey)


def denser(texture: Texture) -> Texture:
    """Strands that cover more of what is below."""
    alpha = texture[..., 3].astype(np.float32) / 255
    result = texture.copy()
    result[..., 3] = np.rint(255 * (1 - (1 - alpha) ** 1.6))
    return result


def eye_texture(image: Texture, iris: Colour) -> Texture:
    """Eyeballs whose iris has the linear RGB `iris` on average."""
    size = image.shape[0]
    linear = DECODE_8BIT[image[..., :3]].copy()
    v, u = np.meshgrid(*[(np.arange(size) + 0.5) / size] * 2, indexing="ij")
    sclera = np.ones((size, size), np.float32)
    luminance = linear @ LUMINANCE_RGB
    for cu, cv in _IRIS_CENTRES:
        reach = np.hypot(u - cu, v - cv) / _IRIS_RADIUS
        inside = np.clip((1.04 - reach) / 0.08, 0, 1).astype(np.float32)
        ring = (reach > _PUPIL) & (reach < 0.95)
        detail = luminance / luminance[ring].mean()
        pupil = np.clip((_PUPIL + 0.03 - reach) / 0.06, 0, 1).astype(np.float32)
        coloured = np.asarray(iris, np.float32) * detail[..., None] ** 0.8
        coloured = coloured * (1 - pupil[..., None]) + 0.002 * pupil[..., None]
        linear += (coloured - linear) * inside[..., None]
        sclera = np.minimum(sclera, 1 - inside)
    linear *= (1 + (_SCLERA - 1) * sclera)[..., None]
    return _with_alpha(linear, image)


def tinted(image: Texture, factor: Colour) -> Texture:
    """A texture with its linear light multiplied."""
    return _with_alpha(DECODE_8BIT[image[..., :3]] * np.asarray(factor, np.float32), image)


def teeth_texture(image: Texture) -> Texture:
    """Teeth as white as people's."""
    return tinted(image, _TEETH)


def clothing_texture(pack: AssetPack, clothing: Clothing) -> Texture:
    """What the garment is made of, `(512, 512, 4)`."""
    rng = np.random.default_rng(clothing.seed)
    name = f"clothes/{clothing.garment}"
    if clothing.garment in PRINTED:
        return _recoloured(pack.textures[f"{name}_diffuse"], clothing)
    tile = cloth(clothing.first, clothing.second, clothing.pattern, clothing.ribbed, rng)
    size = 512
    side = size // _CLOTH_REPEATS
    small = cv2.resize(tile, (side, side), interpolation=cv2.INTER_AREA)
    texture = np.tile(small, (_CLOTH_REPEATS + 1, _CLOTH_REPEATS + 1, 1))[:size, :size]
    return np.ascontiguousarray(texture)


def _recoloured(image: Texture, clothing: Clothing) -> Texture:
    """Of an image of several cloths, the darker ones in the first colour's hue."""
    linear = DECODE_8BIT[image[..., :3]]
    first = np.asarray(clothing.first, np.float32)
    hue = 0.5 + 0.5 * first / max(float(first @ LUMINANCE_RGB), 1e-3)
    grey = (linear @ LUMINANCE_RGB)[..., None]
    lift = np.float32(np.clip(float(first.mean()) / 0.08, 0.5, 5.0))
    # White shirts and buttons stay white.
    share = np.clip((0.5 - grey) / 0.3, 0, 1)
    return _with_alpha(linear * (1 - share) + grey * lift * hue * share, image)


def _with_alpha(linear: FloatArray, image: Texture) -> Texture:
    result = image.copy()
    result[..., :3] = np.rint(encode_srgb(np.clip(linear, 0, 1).astype(np.float32)) * 255)
    return result
