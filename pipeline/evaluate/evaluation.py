"""Runs the whole evaluation over methods and baselines."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vcam_relight.pipeline.core.image import BgrImage, FloatArray
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.evaluate.cases import (
    TONES,
    Subject,
    exposed,
    largest_face,
    make_cases,
    tone_name,
)
from vcam_relight.pipeline.evaluate.clips import ClipMeter
from vcam_relight.pipeline.evaluate.contact_sheet import ContactSheet, light_ball
from vcam_relight.pipeline.evaluate.identity import FaceEmbedder, cosine
from vcam_relight.pipeline.evaluate.light_tables import IN_ROOMS, LightTableMeter, LightTables
from vcam_relight.pipeline.evaluate.media import (
    MediaClip,
    load_clips,
    load_portraits,
    moving_clip,
    read_clip,
)
from vcam_relight.pipeline.evaluate.method import (
    BestGainBaseline,
    EngineMethod,
    GroundTruthMethod,
    Method,
)
from vcam_relight.pipeline.evaluate.rooms import CLEAN, ROOMS
from vcam_relight.pipeline.evaluate.skin_meter import SkinMeter
from vcam_relight.pipeline.evaluate.stills import Metrics, StillMeter
from vcam_relight.pipeline.face.tracker import FaceTracker
from vcam_relight.pipeline.lighting import Lighting
from vcam_relight.pipeline.lighting.exposure import exposure
from vcam_relight.pipeline.lighting.presets import load_presets

STEADY, CHANGED = "key-left", "key-right"
"""Presets that clips and portraits are relit with; lag is measured from the first to the second."""
_SHEET_ROWS = 10

Rows = dict[str, Metrics]
"""By method: means over cases, with their number as `cases`."""


@dataclass(frozen=True, slots=True)
class Subset:
    """How much is measured."""

    subjects: int
    """At most this many of each renderer, taken evenly."""
    cases: int
    """Pairs of lights for each."""
    portraits: int
    frames: int
    """Of each clip."""
    clips: int
    tone_frames: int
    """Of the clip made for each skin tone."""
    rooms: int
    """Portraits that are put into rooms, and lit by every preset."""


SUBSETS = {
    "quick": Subset(3, cases=1, portraits=2, frames=12, clips=1, tone_frames=0, rooms=1),
    "standard": Subset(20, cases=4, portraits=12, frames=32, clips=5, tone_frames=16, rooms=16),
    "full": Subset(1000, cases=20, portraits=140, frames=150, clips=100, tone_frames=60, rooms=140),
}


@dataclass(slots=True)
class Report:
    """Everything that was measured; JSON and Markdown are both made of it."""

    subset: str
    methods: list[str]
    identity: str
    """What embeds faces, or how to install it."""
    strangers: dict[str, float] = field(default_factory=dict)
    """Mean cosine between different people, of the rendered subjects and of the portraits: what a
    lost identity looks like."""
    subjects: dict[str, int] = field(default_factory=dict)
    """By renderer."""
    renderers: dict[str, Rows] = field(default_factory=dict)
    tones: dict[str, Rows] = field(default_factory=dict)
    portraits: Rows = field(default_factory=dict)
    clips: dict[str, Rows] = field(default_factory=dict)
    light: LightTables = field(default_factory=LightTables)
    """Rooms, presets, and light that holds still."""
    notes: list[str] = field(default_factory=list)
    """What was not measured, and why."""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object, in which methods are `contestants`; numbers rounded to 5 digits."""
        names = {"methods": "contestants"}
        return {names.get(key, key): _rounded(value) for key, value in asdict(self).items()}


Progress = Callable[[int, int], None]
"""Told how many steps are done, and of how many."""


class Evaluation:
    """One run over a subset; `contact_sheets` are filled meanwhile."""

    def __init__(
        self,
        engines: Sequence[EngineMethod],
        subset: str,
        embedder: FaceEmbedder | None,
        identity: str,
    ) -> None:
        """Prepares a run.

        Args:
            engines: the methods to measure, copy-input among them; best gain and ground truth are
                always added.
            subset: a key of `SUBSETS`.
            embedder: None: identity is not measured.
            identity: what the report says about it.
        """
        self._engines, self._name, self._identity = engines, subset, identity
        self._subset = SUBSETS[subset]
        self._finder = FaceTracker(StageTimer())
        self._meter = StillMeter(self._finder, embedder)
        self._presets, _ = load_presets()
        self._lights = (self._presets[STEADY].lighting(), self._presets[CHANGED].lighting())
        self.contact_sheets: dict[str, ContactSheet] = {}
        """By renderer, and `portraits`."""

    def run(
        self, subjects: Sequence[Subject], media: Path | None, demo: Path, progress: Progress
    ) -> Report:
        """Measures everything and puts the report together.

        Args:
            subjects: rendered people.
            media: see `pipeline.evaluate.media`; None: only `demo` is measured on.
            demo: a video file to fall back on.
            progress: told after each step.

        Raises:
            OSError: a file of the media folder cannot be read.
        """
        subset = self._subset
        chosen = _spread(subjects, subset.subjects)
        notes: list[str] = []
        clips = (
            list(itertools.islice(load_clips(media, subset.frames), subset.clips)) if media else []
        )
        if not clips:
            notes.append(
                "No real clips were given (--media): flicker and lag are of the demo clip."
            )
            clips = [read_clip(demo, subset.frames)]
        portraits = load_portraits(media, subset.portraits) if media else []
        if not portraits:
            notes.append("No portraits were given (--media): none were measured.")
        rooms = load_portraits(media, subset.rooms) if media else []
        tone_clips = self._tone_clips(chosen) if subset.tone_frames else {}
        steps = _Steps(
            len(chosen) + len(portraits) + len(rooms) + len(clips) + len(tone_clips), progress
        )

        report = Report(
            subset=self._name,
            methods=[
                GroundTruthMethod.name,
                BestGainBaseline.name,
                *(engine.name for engine in self._engines),
            ],
            identity=self._identity,
            notes=notes,
        )
        found: list[tuple[str, str, str, Metrics]] = []
        inputs: list[FloatArray] = []
        faces: list[FloatArray] = []
        for index, subject in enumerate(chosen):
            report.subjects[subject.renderer] = report.subjects.get(subject.renderer, 0) + 1
            found += self._subject(subject, index, inputs)
            steps.done()
        for renderer in report.subjects:
            report.renderers[renderer] = _means(
                (who, metrics) for kind, _, who, metrics in found if kind == renderer
            )
        for name, clip in tone_clips.items():
            meter = ClipMeter(clip, self._lights)
            found += [
                ("", name, engine.name, meter.measure(engine, with_lag=True))
                for engine in self._engines
            ]
            steps.done()
        for tone, _ in TONES:
            rows = _means((who, metrics) for _, name, who, metrics in found if name == tone)
            if rows:
                report.tones[tone] = rows
        report.portraits.update(self._portraits(portraits, faces, steps))
        report.light = self._rooms(rooms, steps)
        for clip in clips:
            meter = ClipMeter(clip, self._lights)
            report.clips[clip.name] = _means(
                (engine.name, meter.measure(engine, with_lag=clip is clips[0]))
                for engine in self._engines
            )
            steps.done()
        report.strangers = _strangers({"rendered": inputs, "portraits": faces})
        return report

    def _subject(
        self, subject: Subject, index: int, inputs: list[FloatArray]
    ) -> list[tuple[str, str, str, Metrics]]:
        """Renderer, tone, method and metrics of each relit case of the subject."""
        found = []
        cases = make_cases(subject, index, self._subset.cases, self._finder)
        for number, case in enumerate(cases):
            shown = [case.image, light_ball(case.target_sh, case.image.shape[0]), case.ground_truth]
            methods: list[Method] = [GroundTruthMethod(), BestGainBaseline(), *self._engines]
            for method in methods:
                prediction = method.predict(case)
                metrics = self._meter.measure(prediction, case)
                if number == 0 and isinstance(method, EngineMethod):
                    metrics |= self._meter.no_op(method, case)
                found.append((subject.renderer, case.tone, method.name, metrics))
                if isinstance(method, EngineMethod):
                    shown.append(prediction.image)
            if number == 0:
                columns = [
                    "input",
                    "target light",
                    "ground truth",
                    *(e.name for e in self._engines),
                ]
                contact_sheet = self.contact_sheets.setdefault(
                    subject.renderer, ContactSheet(columns, _SHEET_ROWS)
                )
                contact_sheet.add(
                    f"{case.subject}: {case.source_light} to {case.target_light}", shown
                )
                inputs += self._meter.embeddings(case.image, case.landmarks)
        return found

    def _portraits(
        self, portraits: list[tuple[str, BgrImage]], embeddings: list[FloatArray], steps: "_Steps"
    ) -> Rows:
        found = []
        columns = ["input", "target light", *(engine.name for engine in self._engines)]
        for index, (name, image) in enumerate(portraits):
            light: Lighting = self._lights[index % 2]
            landmarks = largest_face(self._finder.still(image))
            embeddings += self._meter.embeddings(image, landmarks)
            shown = [image, light_ball(light.sh, image.shape[0])]
            for engine in self._engines:
                metrics, relit = self._meter.portrait(engine, image, light)
                found.append((engine.name, metrics))
                shown.append(relit)
            contact_sheet = self.contact_sheets.setdefault(
                "portraits", ContactSheet(columns, _SHEET_ROWS)
            )
            contact_sheet.add(f"{name}: {(STEADY, CHANGED)[index % 2]}", shown)
            steps.done()
        return _means(found)

    def _rooms(self, portraits: list[tuple[str, BgrImage]], steps: "_Steps") -> LightTables:
        meter = LightTableMeter(self._engines, self._presets)
        first = True
        for seed, (name, image) in enumerate(portraits):
            skin = SkinMeter.of(image, self._finder.still(image))
            if skin is not None:
                rows = meter.add(skin, seed)
                if first:
                    meter.hold_still(skin, seed)
                    first = False
                columns = ["input", *(f"{e.name}, {p}" for e in meter.relighting for p in IN_ROOMS)]
                contact_sheet = self.contact_sheets.setdefault(
                    "rooms", ContactSheet(columns, _SHEET_ROWS)
                )
                for room, row in zip((CLEAN, *ROOMS), rows, strict=True):
                    contact_sheet.add(f"{name}: {room.name}", row)
            steps.done()
        return meter.tables()

    def _tone_clips(self, subjects: Sequence[Subject]) -> dict[str, MediaClip]:
        """Makes a moving clip of one subject of each skin tone.

        Of the subject's lights, the one that is most from the front is used.

        Returns:
            The clips by skin tone.
        """
        made = {}
        for index, subject in enumerate(subjects):
            tone = tone_name(subject.tone)
            if tone not in made:
                light = max(subject.lights, key=lambda name: _frontal(subject.sh(name)))
                image = exposed(subject, light)
                made[tone] = moving_clip(tone, image, self._subset.tone_frames, seed=index)
        return made


class _Steps:
    def __init__(self, total: int, progress: Progress) -> None:
        self._count, self._total, self._progress = 0, total, progress

    def done(self) -> None:
        self._count += 1
        self._progress(self._count, self._total)


def _frontal(sh: FloatArray) -> float:
    return float(exposure(sh).mean() / max(float(sh[0].mean()), 1e-6))


def _spread(subjects: Sequence[Subject], most: int) -> list[Subject]:
    by_renderer: dict[str, list[Subject]] = defaultdict(list)
    for subject in subjects:
        by_renderer[subject.renderer].append(subject)
    chosen = []
    for group in by_renderer.values():
        places = np.unique(np.linspace(0, len(group) - 1, min(most, len(group))).round())
        chosen += [group[int(place)] for place in places]
    return chosen


def _strangers(groups: dict[str, list[FloatArray]]) -> dict[str, float]:
    means = {}
    for name, embeddings in groups.items():
        pairs = [cosine(a, b) for a, b in itertools.combinations(embeddings, 2)]
        if pairs:
            means[name] = float(np.mean(pairs))
    return means


def _means(found: Iterable[tuple[str, Metrics]]) -> Rows:
    """Means of what could be measured, by method, with the number of measurements."""
    lists: dict[str, dict[str, list[float]]] = {}
    counts: dict[str, int] = defaultdict(int)
    for who, metrics in found:
        mine = lists.setdefault(who, {})
        counts[who] += "missed" in metrics
        for key, value in metrics.items():
            values = mine.setdefault(key, [])
            if value is not None:
                values.append(value)
    return {
        who: {key: float(np.mean(v)) if v else None for key, v in mine.items()}
        | ({"cases": float(counts[who])} if counts[who] else {})
        for who, mine in lists.items()
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return value
