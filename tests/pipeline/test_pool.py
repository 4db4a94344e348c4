"""Engines that are loaded once and serve many streams at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from support.demo import demo_frames
from vcam_relight.pipeline.controls import RelightSettings
from vcam_relight.pipeline.core.image import BgrImage
from vcam_relight.pipeline.core.timing import StageTimer
from vcam_relight.pipeline.engines.base import Engine, Stream
from vcam_relight.pipeline.engines.passthrough import PassthroughEngine
from vcam_relight.pipeline.engines.pool import EnginePool
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.pipeline.relighter import Relighter

PRESETS, _ = load_presets()

ROUNDING_LEVELS = 1
"""Of 255: torch rounds the last bits of a sum as memory happens to lie and threads are free."""


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool() as made:
        yield made


@pytest.mark.parametrize("name", ["geometry", "triplane"])
def test_two_streams_at_once_on_one_engine_give_the_images_of_each_alone(
    pool: EnginePool, name: str
) -> None:
    frames = demo_frames(8)
    films = [(frames, "key-left"), (frames[::-1], "golden-hour")]
    engine = pool.get(name)
    begin = threading.Barrier(2)

    def alone(film: tuple[BgrImage, ...], preset: str) -> list[BgrImage]:
        lighting = PRESETS[preset].lighting()
        with Relighter(engine) as relighter:
            return [
                relighter.process(frame, index / 30, lighting, RelightSettings())
                for index, frame in enumerate(film)
            ]

    def beside(film: tuple[BgrImage, ...], preset: str) -> list[BgrImage]:
        begin.wait(timeout=30)
        return alone(film, preset)

    expected = [alone(*film) for film in films]
    with ThreadPoolExecutor(2) as threads:
        shown = [made.result() for made in [threads.submit(beside, *film) for film in films]]
    for images, images_alone in zip(shown, expected, strict=True):
        for image, image_alone in zip(images, images_alone, strict=True):
            assert np.abs(image.astype(int) - image_alone).max() <= ROUNDING_LEVELS


class _Closing(PassthroughEngine):
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def test_an_engine_is_loaded_once_however_many_ask_at_once() -> None:
    loading, loads = threading.Event(), []

    def load(name: str, device: str) -> Engine:
        loads.append((name, device))
        loading.wait(timeout=30)
        return _Closing()

    with EnginePool(load) as pool, ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(pool.get, "one", "cpu") for _ in range(3)]
        other = threads.submit(pool.get, "one", "cuda")
        loading.set()
        (engine,) = {made.result() for made in asked}
        assert other.result() is not engine
    assert sorted(loads) == [("one", "cpu"), ("one", "cuda")]
    assert isinstance(engine, _Closing) and engine.closed == 1
    with pytest.raises(RuntimeError, match="closed"):
        pool.get("one")


def test_what_failed_to_load_is_tried_again() -> None:
    faults = [OSError("no weights")]

    def load(name: str, device: str) -> Engine:
        if faults:
            raise faults.pop()
        return PassthroughEngine()

    with EnginePool(load) as pool:
        with pytest.raises(OSError, match="no weights"):
            pool.get("one")
        assert pool.get("one") is pool.get("one")


class _Breaking(_Closing):
    """Its streams fail at their first frame."""

    def open_stream(self, timer: StageTimer) -> Stream:
        return _BrokenStream()


class _BrokenStream:
    def relight(self, *args: object) -> BgrImage:
        raise RuntimeError("the device was lost")

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_an_engine_that_failed_is_loaded_anew_and_freed_at_the_end() -> None:
    made: list[_Breaking] = []

    def load(name: str, device: str) -> Engine:
        made.append(_Breaking())
        return made[-1]

    with EnginePool(load) as pool:
        first = pool.get("one")
        with Relighter(first, failed=pool.discard) as relighter:
            light = PRESETS["key-left"]
            with pytest.raises(RuntimeError, match="lost"):
                relighter.process(demo_frames(1)[0], 0.0, light.lighting(), light.controls)
        assert pool.get("one") is not first
        assert made[0].closed == 0, "another stream may still run on it"
    assert [engine.closed for engine in made] == [1, 1]
