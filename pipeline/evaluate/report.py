"""A report as Markdown, made of the same numbers as its JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from vcam_relight.pipeline.evaluate.clips import LAG_FRAMES, SWITCH
from vcam_relight.pipeline.evaluate.evaluation import CHANGED, STEADY, Report, Rows
from vcam_relight.pipeline.evaluate.light_tables import LightTables
from vcam_relight.pipeline.evaluate.method import BEST_GAIN, COPY_INPUT, GROUND_TRUTH
from vcam_relight.pipeline.evaluate.stills import Metrics


@dataclass(frozen=True, slots=True)
class Column:
    """One metric: its column's heading and how it is printed."""

    heading: str
    digits: int
    percent: bool = False

    def print(self, value: float | None) -> str:
        """As in the table; a dash for what was not measured."""
        if value is None:
            return "–"
        return f"{value * (100 if self.percent else 1):.{self.digits}f}"


COLUMNS = {
    "cases": Column("cases", 0),
    "psnr_db": Column("PSNR dB", 2),
    "ssim": Column("SSIM", 3),
    "psnr_as_is_db": Column("PSNR as is dB", 2),
    "light_deg": Column("light error °", 1),
    "identity": Column("identity", 3),
    "no_op_true_db": Column("no-op, true light dB", 1),
    "no_op_own_db": Column("no-op, own estimate dB", 1),
    "background_levels": Column("background, levels", 2),
    "background_share": Column("background changed %", 1, percent=True),
    "missed": Column("no face %", 1, percent=True),
    "warping_ratio": Column("warping error out/in", 2),
    "flicker_ratio": Column("out/steady light change", 2),
    "jitter_ratio": Column("jitter out/in", 2),
    "lag_frames": Column("lag, frames", 1),
    "skin_error": Column("skin error, Lab", 1),
    "skin_error_2000": Column("CIEDE2000", 1),
    "luminance_ratio": Column("luminance", 2),
    "least_luminance": Column("least", 2),
    "of_clean": Column("of the clean one", 2),
    "noise_ratio": Column("noise", 2),
    "highlight_ratio": Column("highlights", 2),
    "contrast_ratio": Column("contrast", 2),
    "side_ratio": Column("left/right", 2),
    "shadow_edge": Column("edge", 1),
    "skin_shift": Column("a,b of skin", 1),
    "body_shift": Column("a,b of body, p95", 1),
    "light_spread": Column("spread out/in", 2),
}
"""Every metric of a report, by its name in the JSON."""

_STILL = ("psnr_db", "ssim", "psnr_as_is_db", "light_deg", "identity")
_NO_OP = ("no_op_true_db", "no_op_own_db")
_RENDERED = ("cases", *_STILL, *_NO_OP, "background_levels", "background_share", "missed")
_TONE = ("cases", *_STILL, *_NO_OP, "background_levels", "missed")
_ROOM = ("skin_error", "skin_error_2000", "luminance_ratio", "of_clean", "noise_ratio")
_ROOM_TONE = ("skin_error", "skin_error_2000", "luminance_ratio")
_PRESET = (
    "luminance_ratio", "least_luminance", "highlight_ratio", "contrast_ratio", "side_ratio",
    "shadow_edge", "skin_shift", "body_shift",
)  # fmt: skip
_CLIP = ("warping_ratio", "flicker_ratio", "jitter_ratio", "lag_frames")

_HOW = f"""\
How to read it. Images are 8-bit and sRGB-encoded; errors are taken on these values.

- **PSNR, SSIM** (higher is better): on the person's pixels against the rendered ground truth, after
  the one gain of linear light, for all channels, that suits the output best; *as is*: without it.
  PSNR stops at 60 dB. SSIM is of luma.
- **light error** (lower): angle between the dominant direction of the target lighting and that of
  the lighting that explains the output best, given the rendered albedo and normals; channels are
  divided by their first SH coefficient. The row `{GROUND_TRUTH}` is this estimate's own error:
  shadows, bounces and highlights take part. Mean over the cases whose light has a direction, within
  120 degrees of the camera's.
- **identity** (higher): cosine between the face embeddings of output and input. The row
  `{GROUND_TRUTH}` says what the change of light alone costs.
- **no-op** (higher): PSNR on the person of output against input when the target lighting is the
  source lighting: the true one, or the one that the program itself estimates from the image.
- **background** (lower): mean change in levels of 255, and share of pixels changed by more than 3
  levels, at some distance from the person.
- **no face**: share of images in which the engine's tracker found nobody; they count unchanged.
- **warping error** (1 is the input's own): mean squared difference of each frame to the frame
  before, warped along the optical flow (DIS) of the *input*, over the person's pixels that both
  frames show, relative to the person's mean; **jitter**: standard deviation of the change from
  frame to frame of the face's mean log luminance; both out / in under the preset {STEADY}.
- **out/steady light change** (at most 1: the light change adds no flicker): the output's warping
  error over the one it would have if each frame's light change were the frame before's, warped
  along the flow. A light with more contrast shows more of the input's own noise and of the flow's
  errors, which the error out/in counts and this does not.
- **lag** (0: with the first frame): frames until 90% of a change from {STEADY} to {CHANGED} is on
  the face; at most {LAG_FRAMES - SWITCH} can be seen.
- Rows: `{COPY_INPUT}` changes nothing; `{BEST_GAIN}` multiplies the person with the one gain that
  is best against the ground truth, and so equals `{COPY_INPUT}` wherever a gain is taken out;
  `{GROUND_TRUTH}` is the render itself.
"""

_ROOMS_HOW = """\
Portraits as a webcam shows them in rooms: linear light times 0.1 (dark) and 0.3 (dim), the face
times 0.15 and what is around it 1.6 (back-lit), times 0.2 and blue (screen-lit), times 0.45 and
orange (warm bulb), each with a sensor's noise and JPEG. Medians over portraits, against the
portrait itself, on the face's skin: distance of colours after a small blur (CIE Lab, and
CIEDE2000), luminance and noise over the portrait's, and luminance over that of the same preset on
the clean portrait.
"""

_PRESETS_HOW = """\
Well lit portraits under each preset with its own controls, out over in, on the face's skin: mean
luminance (median over portraits, and the least of them), its 99th percentile, its spread over its
mean, the left half's over the right half's; the steepest twentieth of the light change (natural
logarithm, a face wide); how far a and b of Lab move on the skin (mean) and on the body (95th
percentile).
"""

_STILL_HOW = """\
One portrait with new noise in every frame: spread of the face's mean log luminance after half a
second, over the input's.
"""

_TONES_HOW = f"""\
Tones are bins of the individual typology angle. Errors of dark skin are smaller because it is dark:
compare each engine with `{BEST_GAIN}` and `{GROUND_TRUTH}` of the same tone.
"""


def markdown(report: Report, command: str) -> str:
    """The whole report as Markdown.

    Args:
        report: what was measured.
        command: the command line that makes it.
    """
    total = ", ".join(f"{count} by {name}" for name, count in report.subjects.items())
    parts = [
        "# Quality\n",
        f"Made by `{command}`: the subset *{report.subset}*, rendered subjects: {total}.\n",
        f"Identity: {report.identity}.{_strangers(report)}\n",
        *(f"{note}\n" for note in report.notes),
    ]
    for renderer, rows in report.renderers.items():
        parts += [f"## Against ground truth rendered by {renderer}\n", _table(rows, _RENDERED)]
    parts += ["## By skin tone\n", _TONES_HOW]
    parts.append(_grouped("skin tone", report.tones, _TONE))
    if any(
        "warping_ratio" in metrics for rows in report.tones.values() for metrics in rows.values()
    ):
        parts.append("The same over a moving image of one subject of each tone, with noise:\n")
        parts.append(_grouped("skin tone", report.tones, _CLIP, without=(GROUND_TRUTH, BEST_GAIN)))
    if report.portraits:
        parts += ["## On portraits\n", _table(report.portraits, ("identity", _NO_OP[1], "missed"))]
    parts += _light(report.light)
    parts += ["## On clips\n", _grouped("clip", report.clips | _mean_of(report.clips), _CLIP)]
    return "\n".join([*parts, _HOW])


def _light(light: LightTables) -> list[str]:
    """The tables of the light itself, where portraits were given."""
    if not light.rooms:
        return []
    return [
        "## Rooms\n",
        _ROOMS_HOW,
        _grouped("room", light.rooms, _ROOM),
        "All rooms but the clean one under `auto`, by apparent skin tone:\n",
        _grouped("skin tone", light.tones, _ROOM_TONE),
        "## Presets\n",
        _PRESETS_HOW,
        _grouped("preset", light.presets, _PRESET),
        "## Light that holds still\n",
        _STILL_HOW,
        _grouped("room", light.stillness, ("light_spread",)),
    ]


def _strangers(report: Report) -> str:
    if not report.strangers:
        return ""
    means = ", ".join(f"{mean:.3f} ({name})" for name, mean in report.strangers.items())
    return f" Different people have a mean cosine of {means}."


def _mean_of(clips: dict[str, Rows]) -> dict[str, Rows]:
    """The mean over all clips, where there are several."""
    if len(clips) < 2:
        return {}
    names = dict.fromkeys(name for rows in clips.values() for name in rows)
    mean: Rows = {}
    for name in names:
        mean[name] = {}
        for key in _CLIP:
            values = [rows[name].get(key) for rows in clips.values()]
            known = [value for value in values if value is not None]
            mean[name][key] = fmean(known) if known else None
    return {"**mean**": mean}


def _table(rows: Rows, keys: Sequence[str]) -> str:
    lines = [_head(["", *_headings(keys)])]
    lines += [_line([name, *_cells(metrics, keys)]) for name, metrics in rows.items()]
    return "\n".join(lines) + "\n"


def _grouped(
    heading: str, groups: dict[str, Rows], keys: Sequence[str], without: Sequence[str] = ()
) -> str:
    lines = [_head([heading, "", *_headings(keys)])]
    for group, rows in groups.items():
        for name, metrics in rows.items():
            if name not in without:
                lines.append(_line([group, name, *_cells(metrics, keys)]))
    return "\n".join(lines) + "\n"


def _headings(keys: Sequence[str]) -> list[str]:
    return [COLUMNS[key].heading for key in keys]


def _cells(metrics: Metrics, keys: Sequence[str]) -> list[str]:
    return [COLUMNS[key].print(metrics.get(key)) for key in keys]


def _head(cells: Sequence[str]) -> str:
    return _line(cells) + "\n" + "|" + "---|" * len(cells)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
