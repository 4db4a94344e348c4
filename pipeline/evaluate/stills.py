"""Figures of single pictures: one row of numbers for each answer to a case."""

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.evaluate.cases import Case, Finder, largest_face
from vcam_relight.pipeline.evaluate.identity import FaceEmbedder, cosine
from vcam_relight.pipeline.evaluate.light_direction import (
    LightMeter,
    angle_between,
    direction_of,
    has_direction,
    shown_direction,
)
from vcam_relight.pipeline.evaluate.method import Answer, EngineContestant
from vcam_relight.pipeline.evaluate.metrics import (
    background_change,
    best_gain,
    psnr,
    ssim,
    with_gain,
)
from vcam_relight.pipeline.face.types import FaceState
from vcam_relight.pipeline.lighting import Lighting

Figures = dict[str, float | None]
"""By name, see `pipeline.evaluate.report.COLUMNS`; None: could not be measured."""


class StillMeter:
    """Measures answers to cases and relit portraits."""

    def __init__(self, finder: Finder, embedder: FaceEmbedder | None) -> None:
        """Args:
        embedder: None: identity is not measured.
        """
        self._finder = finder
        self._embedder = embedder
        self._light = LightMeter()
        self._input: tuple[BgrImage, FloatArray] | None = None
        """The last input and its embedding: contestants come one after the other."""

    def measure(self, answer: Answer, case: Case) -> Figures:
        """Relight error, light direction, identity and background of one answer."""
        image, truth, person = answer.image, case.truth, case.person
        matched = with_gain(image, best_gain(image, truth, person))
        background = background_change(image, case.image, case.background)
        return {
            "psnr_db": psnr(matched, truth, person),
            "ssim": ssim(matched, truth, person),
            "psnr_as_is_db": psnr(image, truth, person),
            "light_deg": self._light_error(image, case),
            "identity": self._identity(image, case.image, case.landmarks),
            "background_levels": background.mean_levels,
            "background_share": background.share,
            "missed": float(answer.missed),
        }

    def no_op(self, contestant: EngineContestant, case: Case) -> Figures:
        """PSNR on the person when the light asked for is the one that is there: the true one, and
        the one that the engine itself sees, else the one that `--like` reads from the picture.
        """
        present = Lighting.from_sh(case.present_sh)
        same = contestant.still(case.image, present).image
        figures: Figures = {"no_op_true_db": psnr(same, case.image, case.person)}
        read = self._present(contestant, case.image, self._finder.still(case.image))
        if read is None:
            return figures | {"no_op_own_db": None}
        same = contestant.still(case.image, Lighting.from_sh(read)).image
        return figures | {"no_op_own_db": psnr(same, case.image, case.person)}

    def portrait(
        self, contestant: EngineContestant, image: BgrImage, lighting: Lighting
    ) -> tuple[Figures, BgrImage]:
        """Identity under `lighting` and PSNR under the light that is there, both on a real picture;
        and the relit picture.
        """
        faces = self._finder.still(image)
        landmarks = largest_face(faces)
        answer = contestant.still(image, lighting)
        read = self._present(contestant, image, faces)
        figures: Figures = {
            "identity": self._identity(answer.image, image, landmarks),
            "no_op_own_db": None,
            "missed": float(answer.missed),
        }
        if read is not None:
            same = contestant.still(image, Lighting.from_sh(read)).image
            everywhere = image[..., 0] >= 0
            figures["no_op_own_db"] = psnr(same, image, everywhere)
        return figures, answer.image

    def embeddings(self, image: BgrImage, landmarks: FloatArray | None) -> list[FloatArray]:
        """The face's embedding, or nothing where it is not measured or there is no face."""
        if self._embedder is None or landmarks is None:
            return []
        return [self._embedder.embed(image, landmarks)]

    def _present(
        self, contestant: EngineContestant, image: BgrImage, faces: FaceState
    ) -> FloatArray | None:
        own = contestant.present_light(image, faces)
        return self._light.present(image, faces) if own is None else own

    def _light_error(self, image: BgrImage, case: Case) -> float | None:
        if not has_direction(case.asked_sh):
            return None
        seen = shown_direction(image, case.albedo, case.normal, case.person)
        return None if seen is None else angle_between(seen, direction_of(case.asked_sh))

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
