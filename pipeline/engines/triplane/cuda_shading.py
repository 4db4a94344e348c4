"""`head_gain` on the kernels of `pipeline/cuda`."""

import cv2
import numpy as np
import torch

from vcam_relight.pipeline.compositing.gain import GainParams
from vcam_relight.pipeline.core.image import FloatArray, RgbGain
from vcam_relight.pipeline.cuda.device import AnyArray, Buffer, Card, Stream
from vcam_relight.pipeline.engines.triplane.head_estimate import HeadEstimate, LightOfGain
from vcam_relight.pipeline.engines.triplane.highlights import HighlightParams
from vcam_relight.pipeline.engines.triplane.network.model import OUTPUT
from vcam_relight.pipeline.engines.triplane.network.refiner import FEATURES, Refiner
from vcam_relight.pipeline.engines.triplane.runtime.cuda_layers import (
    CudaConv,
    CudaMerge,
    blocks_of,
    new_image,
    uploaded,
)
from vcam_relight.pipeline.engines.triplane.runtime.native_layers import LANES, bias_of
from vcam_relight.pipeline.engines.triplane.shading import (
    BAND_DECAY,
    HeadShadingParams,
    light_change,
)
from vcam_relight.pipeline.engines.triplane.visibility import VisibilityParams
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.lobes import Lobes, cone_table
from vcam_relight.pipeline.lighting.sh import BASIS_FACTORS, LAMBERT
from vcam_relight.pipeline.lighting.shading import SHADING, shading_floor

MOST_LOBES = 16
"""Lights with edges that the kernels take."""
_LOBE, _HEAD = 17, 99
"""Floats of `Lobe` in shading.cu, and of `Uniforms` before the lobes."""
_MAPS = 20
_BLOCK = 256
"""Threads of the kernels that add up; each of their blocks gives a part of a sum."""


class CudaShading:
    """Makes heads' gains on a card, as one graph of kernels; for one thread at a time."""

    def __init__(
        self, card: Card, refiner: Refiner, params: HeadShadingParams | None = None
    ) -> None:
        """Copies the refiner's weights to the card.

        Raises:
            CudaError: the card or the compiler refuses.
        """
        self._stream, self._params = Stream(card), params or HeadShadingParams()
        self._refiner = _Refiner(self._stream, refiner)
        self._bounds = (refiner.params.gray, refiner.params.color)
        self._black = refiner.params.black
        visibility = self._visibility = VisibilityParams()
        ways = np.geomspace(visibility.first, visibility.last, visibility.steps)
        self._ways = uploaded(self._stream, ways.astype(np.float32))
        weights = cv2.getGaussianKernel(7, visibility.smooth, cv2.CV_32F)
        self._weights = uploaded(self._stream, weights[:, 0])
        half, parts = OUTPUT // 2, OUTPUT**2 // _BLOCK
        self._here: dict[str, AnyArray] = {}
        """What goes to the card and comes back, in pinned memory."""
        self._there: dict[str, Buffer] = {}
        for name, shape in (
            ("maps", (_MAPS, OUTPUT, OUTPUT)),
            ("volume", (2, half, half)),
            ("uniforms", (_HEAD + MOST_LOBES * _LOBE,)),
            ("tables", (MOST_LOBES, len(cone_table(0.1)))),
            ("gain", (OUTPUT, OUTPUT, 3)),
        ):
            self._here[name] = card.pinned(shape, np.float32)
            self._here[name][:] = 0
            self._there[name] = card.empty(shape, np.float32)
        for name, shape in (
            ("depth", (1, half, half)),
            ("opacity", (1, half, half)),
            ("surface", (1, half, half)),
            ("sharp", (MOST_LOBES, half, half)),
            ("seen", (MOST_LOBES, half, half)),
            ("weights", (parts, 3)),
            ("logarithm", (3, OUTPUT, OUTPUT)),
            ("residuals", (parts, 4)),
        ):
            self._there[name] = card.empty(shape, np.float32)
        self._stream.clear(self._there["sharp"])  # of fewer lights some of it is never written to
        self._features = new_image(self._stream, half, -(-4 * FEATURES // LANES) * LANES)
        self._radii: tuple[float, ...] = ()
        self._estimate: HeadEstimate | None = None
        self._work()  # compiles kernels, which a recording must not
        self._stream.synchronize()
        self._graph = self._stream.record("gain", self._work)

    def gain(self, estimate: HeadEstimate, light: LightOfGain) -> RgbGain:
        """What `head_gain` says, for `MOST_LOBES` lights with edges at most.

        Raises:
            CudaError: the card fails.
        """
        difference = light_change(estimate, light)
        if difference == 0:
            return np.ones((OUTPUT, OUTPUT, 3), np.float32)
        if estimate is not self._estimate:
            self._describe_head(estimate)
            self._estimate = estimate
        self._describe_light(estimate, light, difference)
        self._graph.launch()
        self._stream.synchronize()
        return self._here["gain"].copy()

    def _describe_head(self, estimate: HeadEstimate) -> None:
        maps, volume = estimate.maps, self._here["volume"]
        parts = (
            maps.normal, maps.albedo, maps.present, maps.occlusion, maps.mask, estimate.linear,
            estimate.shading.level, estimate.shading.colour,
        )  # fmt: skip
        torch.cat([part[0] for part in parts], out=torch.from_numpy(self._here["maps"]))
        volume[0], volume[1] = estimate.volume.depth[0, 0], estimate.volume.opacity[0, 0]

    def _describe_light(
        self, estimate: HeadEstimate, light: LightOfGain, difference: float
    ) -> None:
        target, amounts, params = light.target, light.amounts, self._params
        gloss = np.exp(-BAND_DECAY * params.roughness)
        scale = float(estimate.pose.scale[0])
        head = (
            _series(target.remainder, LAMBERT), _series(target.remainder, gloss),
            _series(estimate.source, LAMBERT), _floor(target.sh), _floor(estimate.source),
            [amounts.shadows, amounts.highlights, amounts.source_color, params.least_albedo],
            [params.reflectance, (1 - params.reflectance) * params.grazing],
            [HighlightParams().facing, difference, len(target.lobes.radii), scale],
        )  # fmt: skip
        uniforms = self._here["uniforms"]
        uniforms[:_HEAD] = np.concatenate([np.ravel(part) for part in head])
        radii = tuple(float(radius) for radius in target.lobes.radii)
        rows = [_lobe(target.lobes, k, self._visibility) for k in range(len(radii))]
        if rows:
            uniforms[_HEAD : _HEAD + len(rows) * _LOBE] = np.concatenate(rows)
        if radii != self._radii:
            for k, radius in enumerate(radii):
                self._here["tables"][k] = cone_table(round(radius, 3))
            self._radii = radii

    def _work(self) -> None:
        there, launch, half, params = (
            self._there,
            self._stream.launch,
            OUTPUT // 2,
            self._visibility,
        )
        for name in ("maps", "volume", "uniforms", "tables"):
            self._stream.upload(there[name], self._here[name])
        depth, opacity = (there["volume"].part(index) for index in range(2))
        (cells, _, _), parts = blocks_of(half * half, 256), OUTPUT**2 // _BLOCK
        launch("blur", (cells, 1, 1), 256, depth, self._weights, there["surface"], half)
        launch(
            "hide", (cells, MOST_LOBES, 1), 256,
            depth, opacity, there["surface"], self._ways, there["uniforms"], there["sharp"],
            half, params.steps, params.opaque, *params.bias,
        )  # fmt: skip
        launch(
            "blur", (cells, MOST_LOBES, 1), 256, there["sharp"], self._weights, there["seen"], half
        )
        launch(
            "weigh", (parts, 1, 1), _BLOCK, there["maps"], there["weights"], OUTPUT**2, self._black
        )
        launch(
            "shade_head", blocks_of(OUTPUT**2, 128), 128,
            there["maps"], there["tables"], there["seen"], there["weights"], there["uniforms"],
            there["logarithm"], self._features, OUTPUT, parts, self._black,
        )  # fmt: skip
        refined = self._refiner(self._features)
        launch(
            "weigh_residual", (parts, 1, 1), _BLOCK,
            there["maps"], refined, there["residuals"], OUTPUT, *self._bounds,
        )  # fmt: skip
        launch(
            "finish_gain", blocks_of(OUTPUT**2, 128), 128,
            there["logarithm"], refined, there["residuals"], there["uniforms"], there["gain"],
            OUTPUT, parts, *self._bounds, GainParams().log_limit,
        )  # fmt: skip
        self._stream.download(self._here["gain"], there["gain"])


class _Refiner:
    """`Refiner`'s convolutions, on features in squares."""

    def __init__(self, stream: Stream, refiner: Refiner) -> None:
        half, quarter, eighth = OUTPUT // 2, OUTPUT // 4, OUTPUT // 8
        self._stream, self._deep = stream, (eighth, refiner.context.in_features)
        self._half = [
            CudaConv(stream, layer.convolution, half) for layer in (refiner.enter, refiner.to_half)
        ]
        self._quarter = [CudaConv(stream, layer.convolution, quarter) for layer in refiner.quarter]
        self._eighth = [CudaConv(stream, layer.convolution, eighth) for layer in refiner.eighth]
        self._context = (
            uploaded(stream, refiner.context.weight), uploaded(stream, bias_of(refiner.context)),
        )  # fmt: skip
        self._up_quarter = CudaMerge(stream, refiner.up_quarter, quarter)
        self._up_half = CudaMerge(stream, refiner.up_half, half)
        self._out = CudaConv(stream, refiner.out, half, positive=False)

    def __call__(self, features: Buffer) -> Buffer:
        half = _run(self._half, features)
        quarter = _run(self._quarter, half)
        eighth = _run(self._eighth, quarter)
        self._stream.launch("add_context", (1, 1, 1), 512, eighth, *self._context, *self._deep)
        quarter = self._up_quarter(eighth, quarter)
        return self._out(self._up_half(quarter, half))


def _run(layers: list[CudaConv], x: Buffer) -> Buffer:
    for layer in layers:
        x = layer(x)
    return x


def _series(sh: FloatArray, bands: FloatArray) -> FloatArray:
    """`(9, 3)` what the polynomials of SH are multiplied by."""
    return np.asarray(sh * (bands * BASIS_FACTORS)[:, None], np.float32)


def _floor(sh: FloatArray) -> FloatArray:
    """`(4,)` RGB that is added to irradiance, and what darkness is measured by."""
    return np.append(shading_floor(sh), exposure(sh).mean() * np.float32(SHADING.floor))


def _lobe(lobes: Lobes, k: int, visibility: VisibilityParams) -> FloatArray:
    """`Lobe` in shading.cu."""
    params, towards, radius = HighlightParams(), lobes.directions[k], float(lobes.radii[k])
    half = towards + np.array([0, 0, 1], np.float32)
    length = float(np.linalg.norm(half))
    mirrored = 0.0
    if length >= 1e-3:  # else straight from behind: hidden
        half = half / length
        rise = (1 - params.reflectance) * params.grazing * (1 - float(half[2])) ** 5
        mirrored = np.pi / 4 * (params.reflectance + rise)
    widen = params.widening * float(np.sin(min(radius, 1.57)))
    alphas = np.array([min(slope + widen, 1.0) for slope, _ in params.slopes])
    shares = [share for _, share in params.slopes]
    widest = max(np.tan(min(radius, 1.4)), visibility.smallest)
    parts = (towards, lobes.rgb[k], [widest], half, alphas**2, alphas / 2, shares, [mirrored])
    return np.concatenate(parts).astype(np.float32)
