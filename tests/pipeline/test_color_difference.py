"""Colour differences against the pairs that Sharma, Wu and Dalal (2005) published."""

import numpy as np
import pytest

from vcam_relight.pipeline.evaluate.color_difference import delta_e76, delta_e2000, lab

PAIRS = (
    ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
    ((50.0, 3.1571, -77.2803), (50.0, 0.0, -82.7485), 2.8615),
    ((50.0, 0.0, 0.0), (50.0, -1.0, 2.0), 2.3669),
    ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
    ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
    ((50.0, 2.5, 0.0), (56.0, -27.0, -3.0), 31.9030),
    ((50.0, 2.5, 0.0), (58.0, 24.0, 15.0), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)


@pytest.mark.parametrize(("one", "other", "difference"), PAIRS)
def test_ciede2000(one: tuple[float, ...], other: tuple[float, ...], difference: float) -> None:
    a, b = np.array([one]), np.array([other])
    assert delta_e2000(a, b)[0] == pytest.approx(difference, abs=1e-4)
    assert delta_e2000(b, a)[0] == pytest.approx(difference, abs=1e-4)


def test_lab_of_known_colours() -> None:
    image = np.array([[[255, 255, 255], [0, 0, 0], [0, 0, 255]]], np.uint8)
    white, black, red = lab(image)[0]
    assert white == pytest.approx([100, 0, 0], abs=0.1) and black == pytest.approx([0, 0, 0])
    assert red == pytest.approx([53.24, 80.09, 67.20], abs=0.2)
    assert delta_e76(white, black) == pytest.approx(100, abs=0.1)
