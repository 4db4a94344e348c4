"""What `examples/` shows runs as it is written there, with the engine that needs no weights."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT

from examples import relight_track
from examples.relight import SECONDS, light_at, main, with_sphere
from support.clips import make_clip
from support.demo import demo_frames
from support.tolerances import SPHERE_PLACE
from vcam_relight.pipeline.lighting.lights import Light, direction, lights_to_sh
from vcam_relight.pipeline.lighting.sh import load_sh
from vcam_relight.vcam.media.video_reader import Decoded, VideoReader

LIGHTS = sorted((ROOT / "examples" / "lights").glob("*.txt"))


def run(source: Path, folder: Path, *options: str) -> int:
    return main([str(source), str(folder), *map(str, LIGHTS), *options])


def test_an_image_under_each_light(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = demo_frames(1)[0]
    cv2.imwrite(str(tmp_path / "face.png"), frame)
    assert run(tmp_path / "face.png", tmp_path / "out") == 0
    assert f"{len(LIGHTS)}/{len(LIGHTS)}" in capsys.readouterr().err  # the progress bar's end
    outs = [cv2.imread(str(tmp_path / "out" / f"face_{path.stem}.png")) for path in LIGHTS]
    left, _, right, _ = (out[300:450, 530:720].astype(float) for out in outs if out is not None)
    half = left.shape[1] // 2
    assert (left - right)[:, :half].mean() > 5 > -5 > (left - right)[:, half:].mean()


def test_a_video_with_a_sphere_that_turns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "talk.mp4"
    times = [index * 22_500 for index in range(18)]  # four a second
    make_clip(clip, images=list(demo_frames(18, step=3)), times=times)
    assert run(clip, tmp_path / "out") == 0
    assert "18/18" in capsys.readouterr().err
    with VideoReader.open(tmp_path / "out" / "talk_relit.mp4") as relit:
        frames = [item for item in relit.items() if isinstance(item, Decoded)]
    assert len(frames) == 18
    for index, left in ((0, True), (round(2 * SECONDS * 4), False)):
        sphere = frames[index].image[36:108, 36:108].mean(axis=(0, 2))
        face = frames[index].image[300:450, 530:720].mean(axis=(0, 2))
        for row in (sphere, face):
            assert bool(row[: len(row) // 3].mean() > row[-len(row) // 3 :].mean() + 10) is left


def test_the_sphere_shows_where_the_light_is() -> None:
    black = np.zeros((500, 600, 3), np.uint8)
    sh = lights_to_sh([Light(40, 30, (1, 1, 1), 0.0)], (0.1, 0.1, 0.1))
    sphere = with_sphere(black, sh)[:100, :100].mean(axis=2)
    assert sphere.max() > 250 and not black.any() and sphere[0, 0] == 0
    y, x = (places.mean() / 50 - 1 for places in np.nonzero(sphere > np.quantile(sphere, 0.95)))
    wanted = direction(40, 30)
    assert (x, -y) == pytest.approx((wanted[0], wanted[1]), abs=SPHERE_PLACE)


def test_lights_fade_into_one_another_and_start_again() -> None:
    lights = np.stack([load_sh(path) for path in LIGHTS])
    assert np.array_equal(light_at(lights, 0.0), lights[0])
    assert light_at(lights, 0.25) == pytest.approx(0.75 * lights[0] + 0.25 * lights[1])
    assert light_at(lights, 3.5) == pytest.approx((lights[3] + lights[0]) / 2)
    assert np.array_equal(light_at(lights, 5.0), lights[1])


def test_what_is_wrong_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.txt").write_text("1 2 3")
    make_clip(tmp_path / "clip.mp4")
    for source, light in (
        (tmp_path / "none.png", LIGHTS[0]),
        (tmp_path / "none.mp4", LIGHTS[0]),
        (tmp_path / "clip.mp4", tmp_path / "bad.txt"),
    ):
        assert main([str(source), str(tmp_path / "out"), str(light)]) == 1
        assert len([x for x in capsys.readouterr().err.splitlines() if "relight: " in x]) == 1


def test_a_track_is_recorded_relit(tmp_path: Path) -> None:
    make_clip(tmp_path / "talk.mp4", images=list(demo_frames(18, step=3)))
    relight_track.main([str(tmp_path / "talk.mp4"), str(tmp_path / "out.mp4")])
    with VideoReader.open(tmp_path / "out.mp4") as relit:
        frames = [item for item in relit.items() if isinstance(item, Decoded)]
    face = frames[0].image[300:450, 530:720].astype(float).mean(axis=(0, 2))
    assert face[: len(face) // 2].mean() > face[len(face) // 2 :].mean() + 10


def test_examples_use_the_public_api_alone() -> None:
    for path in (ROOT / "examples").glob("*.py"):
        assert "from vcam_relight." not in path.read_text(), path.name
