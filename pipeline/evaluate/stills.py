"""Metrics of single images: one row of numbers for each relit case."""

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.evaluate.cases import FaceFinder, RelightCase, largest_face
from vcam_relight.pipeline.evaluate.identity import FaceEmbedder, cosine
from vcam_relight.pipeline.evaluate.light_direction import (
    LightMeter,
    angle_between,
    direction_of,
    estimate_direction,
    has_direction,
)
from vcam_relight.pipeline.evaluate.method import EngineMethod, Prediction
from vcam_relight.pipeline.evaluate.metrics import (
    background_change,
    best_gain,
    psnr,
    ssim,
    with_gain,
)
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import Lighting

Metrics = dict[str, float | None]
"""By name, see `pipeline.evaluate.report.COLUMNS`; None: could not be measured."""


class StillMeter:
    """Measures relit cases and portraits."""

    def __init__(self, finder: FaceFinder, embedder: FaceEmbedder | None) -> None:
        """Prepares to measure.

        Args:
            finder: finds the faces in images.
            embedder: None: identity is not measured.
        """
        self._finder = finder
        self._embedder = embedder
        self._light = LightMeter()
        self._input: tuple[BgrImage, FloatArray] | None = None
        """The last input and its embedding: methods come one after the other."""

    def measure(self, prediction: Prediction, case: RelightCase) -> Metrics:
        """Relighting error, light direction, identity and background of one relit case."""
        image, reference, person = prediction.image, case.ground_truth, case.person
        matched = with_gain(image, best_gain(image, reference, person))
        background = background_change(image, case.image, case.background)
        return {
            "psnr_db": psnr(matched, reference, person),
            "ssim": ssim(matched, reference, person),
            "psnr_as_is_db": psnr(image, reference, person),
            "light_deg": self._light_error(image, case),
            "identity": self._identity(image, case.image, case.landmarks),
            "background_levels": background.mean_levels,
            "background_share": background.share,
            "missed": float(prediction.missed),
        }

    def no_op(self, method: EngineMethod, case: RelightCase) -> Metrics:
        """PSNR on the person when the target lighting is the source lighting.

        `no_op_true_db`: the true one. `no_op_own_db`: the one that the engine itself estimates,
        else the one that `--like` reads from the image.
        """
        source = Lighting.from_sh(case.source_sh)
        same = method.still(case.image, source).image
        metrics: Metrics = {"no_op_true_db": psnr(same, case.image, case.person)}
        read = self._source_lighting(method, case.image, self._finder.still(case.image))
        if read is None:
            return metrics | {"no_op_own_db": None}
        same = method.still(case.image, Lighting.from_sh(read)).image
        return metrics | {"no_op_own_db": psnr(same, case.image, case.person)}

    def portrait(
        self, method: EngineMethod, image: BgrImage, lighting: Lighting
    ) -> tuple[Metrics, BgrImage]:
        """Measures a real image, of which there is no ground reference.

        Args:
            method: what relights.
            image: `(H, W, 3)` BGR.
            lighting: the target.

        Returns:
            Identity under the target and PSNR under the source lighting; the relit image.
        """
        faces = self._finder.still(image)
        landmarks = largest_face(faces)
        prediction = method.still(image, lighting)
        read = self._source_lighting(method, image, faces)
        metrics: Metrics = {
            "identity": self._identity(prediction.image, image, landmarks),
            "no_op_own_db": None,
            "missed": float(prediction.missed),
        }
        if read is not None:
            same = method.still(image, Lighting.from_sh(read)).image
            everywhere = image[..., 0] >= 0
            metrics["no_op_own_db"] = psnr(same, image, everywhere)
        return metrics, prediction.image

    def embeddings(self, image: BgrImage, landmarks: FloatArray | None) -> list[FloatArray]:
        """The face's embedding, or nothing where it is not measured or there is no face."""
        if self._embedder is None or landmarks is None:
            return []
        return [self._embedder.embed(image, landmarks)]

    def _source_lighting(
        self, method: EngineMethod, image: BgrImage, faces: FaceState
    ) -> FloatArray | None:
        own = method.source_lighting(image, faces)
        return self._light.estimate(image, faces) if own is None else own

    def _light_error(self, image: BgrImage, case: RelightCase) -> float | None:
        if not has_direction(case.target_sh):
            return None
        seen = estimate_direction(image, case.albedo, case.normal, case.person)
        return None if seen is None else angle_between(seen, direction_of(case.target_sh))

    def _identity(
        self, output: BgrImage, frame: BgrImage, landmarks: FloatArray | None
    ) -> float | None:
        if self._embedder is None or landmarks is None:
            return None
        if output is frame:
            return 1.0
        if self._input is None or self._input[0] is not frame:
            self._input = frame, self._embedder.embed(frame, landmarks)
        return cosine(self._embedder.embed(output, landmarks), self._input[1])
