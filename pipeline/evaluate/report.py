"""A report as Markdown, made of the same numbers as its JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from vcam_relight.pipeline.evaluate.clips import LAG_FRAMES, SWITCH
from vcam_relight.pipeline.evaluate.evaluation import CHANGED, STEADY, Report, Rows
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
}
"""Every metric of a report, by its name in the JSON."""

_STILL = ("psnr_db", "ssim", "psnr_as_is_db", "light_deg", "identity")
_NO_OP = ("no_op_true_db", "no_op_own_db")
_RENDERED = ("cases", *_STILL, *_NO_OP, "background_levels", "background_share", "missed")
_TONE = ("cases", *_STILL, *_NO_OP, "background_levels", "missed")
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
    parts += ["## On clips\n", _grouped("clip", report.clips | _mean_of(report.clips), _CLIP)]
    return "\n".join([*parts, _HOW])


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
