"""Makes the README's images from the demo clip: `python -m scripts.readme_images`.

The grids of presets need nothing more; the panel's screenshot needs Playwright and a Chromium.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np

from vcam_relight.pipeline.core.color import linear_rgb
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.engines.registry import load_engine
from vcam_relight.pipeline.evaluate.rooms import webcam_shot
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter
from vcam_relight.vcam.sources.demo import demo_clip

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
IN_THE_DARK = ("off", "auto", "key-left")
DARK = 0.22
"""Of the clip's linear light."""
SHOWN = ("auto", "key-left", "rembrandt", "rim", "golden-hour", "neon-duo")
FRAME = 220
TILE = (400, 340)
"""Width and height of a tile in pixels."""


def main() -> None:
    """Writes all images."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    frame = demo_frame(FRAME)
    dark = webcam_shot(linear_rgb(frame) * np.float32(DARK), seed=0)
    for name, image, shown in (("dark_room", dark, IN_THE_DARK), ("presets", frame, SHOWN)):
        grid = presets_grid(image, shown)
        cv2.imwrite(str(FOLDER / f"{name}.jpg"), grid, [cv2.IMWRITE_JPEG_QUALITY, 88])
    panel_screenshot(FOLDER / "panel.png")


def presets_grid(frame: BgrImage, shown: Sequence[str]) -> BgrImage:
    """A frame under presets, each with its title, three in a row."""
    presets, _ = load_presets()
    relighter = Relighter(load_engine("triplane"))
    tiles = []
    for name in shown:
        preset = presets[name]
        relit = relighter.still(frame, preset.lighting(), preset.controls)
        height, width = relit.shape[:2]
        crop = round(height * TILE[0] / TILE[1])
        left = (width - crop) // 2
        tile = cv2.resize(relit[:, left : left + crop], TILE, interpolation=cv2.INTER_AREA)
        cv2.putText(
            tile, preset.title, (14, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 255), 2,
            cv2.LINE_AA,
        )  # fmt: skip
        tiles.append(tile)
    rows = [np.hstack(tiles[start : start + 3]) for start in range(0, len(tiles), 3)]
    return np.asarray(np.vstack(rows), np.uint8)


def demo_frame(index: int) -> BgrImage:
    """One frame of the demo clip."""
    with av.open(str(demo_clip())) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == index:
                return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    raise IndexError(f"the demo clip has no frame {index}")


def panel_screenshot(target: Path) -> None:
    """The panel as a newcomer sees it: the demo clip, the key light from the left."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no chromium on the PATH: the panel was not photographed")
    command = [sys.executable, "run_vcam.py", "--source", "demo", "--sink", "none"]
    command += ["--no-browser", "--port", "0", "--preset", "golden-hour", "--seconds", "60"]
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert program.stdout is not None
            match = re.search(r"https?://\S+", program.stdout.readline())
            assert match, "the program printed no address"
            browser = playwright.chromium.launch_persistent_context(
                profile,
                executable_path=chromium,
                headless=True,
                args=["--no-sandbox", "--disable-gpu", "--disable-quic"],
                viewport={"width": 1200, "height": 980},
                color_scheme="dark",
            )
            page = browser.pages[0]
            page.goto(match[0])
            page.wait_for_timeout(15_000)  # for the engine to load and the figures to settle
            page.screenshot(path=str(target))
            browser.close()
        finally:
            program.terminate()
            program.wait(10)


if __name__ == "__main__":
    main()
