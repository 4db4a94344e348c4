"""Who is shown: the identity's morph targets and the assets and materials that are worn."""

from dataclasses import dataclass

# Base mesh targets (path below the targets folder, without suffix) and weights.
IDENTITY = {
    "macrodetails/caucasian-male-young": 0.75,
    "macrodetails/asian-male-young": 0.1,
    "macrodetails/african-male-young": 0.05,
    "macrodetails/caucasian-male-old": 0.1,
    "macrodetails/universal-male-young-averagemuscle-averageweight": 0.85,
    "macrodetails/universal-male-old-averagemuscle-averageweight": 0.15,
    "forehead/forehead-scale-vert-decr": 0.3,
    "nose/nose-scale-horiz-decr": 0.3,
    "mouth/mouth-scale-horiz-decr": 0.15,
    "chin/chin-width-incr": 0.2,
    "asym/asym-brown-1-l": 0.2,
    "asym/asym-nose-1-r": 0.2,
    "asym/asym-mouth-2-l": 0.2,
}


@dataclass(frozen=True)
class DemoMaterial:
    """Surface parameters.

    texture: sRGB image below the asset folder.
    tint: linear factor on the albedo.
    roughness: GGX roughness; f0: reflectance at normal incidence.
    bump: height of the bumps taken from the texture's brightness, dm.
    normals: tangent-space normal map below the asset folder.
    """

    texture: str
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    roughness: float = 0.5
    f0: float = 0.04
    bump: float = 0.0
    normals: str | None = None


@dataclass(frozen=True)
class PartSpec:
    """One drawn part.

    garment: `.mhclo` below the asset folder; None for the base mesh's own body.
    levels: subdivision levels.
    translucent: drawn blended and sorted, after the opaque parts.
    keep: which faces by the texture's alpha: "all", "opaque" or "clear".
    rigid: fitted to the face without its expression.
    """

    name: str
    garment: str | None
    material: DemoMaterial
    levels: int = 0
    translucent: bool = False
    keep: str = "all"
    rigid: bool = False


_EYES = "eyes_high_poly/high-poly.mhclo"
_IRIS = "eyes/materials/brownlight_eye.png"
_SHIRT = "clothes/male_casualsuit01/male_casualsuit01"

HAIR_TINT = (1.1, 0.75, 0.5)

# In drawing order.
PARTS = (
    PartSpec(
        "body",
        None,
        DemoMaterial(
            "skins/textures/middleage_lightskinned_male_diffuse.jpg",
            roughness=0.4,
            f0=0.028,
            bump=0.014,
        ),
        levels=1,
    ),
    PartSpec(
        "eyes", _EYES, DemoMaterial(_IRIS, (0.75, 0.75, 0.75), 0.3, 0.02), keep="opaque", rigid=True
    ),
    PartSpec(
        "teeth",
        "teeth/teeth_base/teeth_base.mhclo",
        DemoMaterial("teeth/materials/teeth.png", (1.5, 1.3, 1.08), 0.35, 0.015),
    ),
    PartSpec(
        "tongue",
        "tongue/tongue01/tongue01.mhclo",
        DemoMaterial("tongue/tongue01/tongue01_diffuse.png", roughness=0.3),
    ),
    PartSpec(
        "shirt",
        f"{_SHIRT}.mhclo",
        DemoMaterial(
            f"{_SHIRT}_ao.jpg",
            (0.09, 0.12, 0.15),
            roughness=0.85,
            f0=0.03,
            normals=f"{_SHIRT}_normal.jpg",
        ),
        levels=1,
    ),
    PartSpec(
        "brows",
        "eyebrows/eyebrow008/eyebrow008.mhclo",
        DemoMaterial("eyebrows/eyebrow008/eyebrow008.png", (1.6, 1.2, 1.0), 0.5, 0.02),
        levels=1,
        translucent=True,
    ),
    PartSpec(
        "cornea",
        _EYES,
        DemoMaterial(_IRIS, roughness=0.08, f0=0.03),
        translucent=True,
        keep="clear",
        rigid=True,
    ),
    PartSpec(
        "lashes",
        "eyelashes/eyelashes01/eyelashes01.mhclo",
        DemoMaterial("eyelashes/eyelashes01/eyelashes01.png", roughness=0.5, f0=0.02),
        levels=1,
        translucent=True,
    ),
    PartSpec(
        "hair",
        "hair/short04/short04.mhclo",
        DemoMaterial("hair/short04/short04_diffuse.png", HAIR_TINT, 0.45, 0.022),
        levels=1,
        translucent=True,
    ),
)
