"""Translations: the same texts in every language, none that the pages no longer have."""

import json
import re
from pathlib import Path

from vcam_relight.pipeline.controls import CONTROLS
from vcam_relight.pipeline.lighting.presets import load_presets
from vcam_relight.web.http import STATIC

FILES = sorted(STATIC.glob("language.*.json"))
PLACE = re.compile(r"\{\w+\}")


def words(path: Path) -> dict[str, str]:
    texts: dict[str, str] = json.loads(path.read_text("utf-8"))
    return texts


def test_every_language_has_the_texts_that_the_pages_ask_for() -> None:
    scripts = "".join(path.read_text("utf-8") for path in STATIC.glob("*.js"))
    asked = set(re.findall(r'\bt\(\s*"((?:[^"\\]|\\.)*)"', scripts))
    for control in CONTROLS.values():
        asked |= {control.label, control.help, control.group}
    for preset in load_presets()[0].values():
        asked |= {preset.title, preset.help}
    assert len(asked) > 60 and FILES
    pages = "".join(path.read_text("utf-8") for path in STATIC.glob("*.html"))
    known = " ".join((scripts + pages).split())
    for path in FILES:
        texts = words(path)
        assert not asked - texts.keys(), f"{path.name} lacks them"
        unknown = [text for text in texts.keys() - asked if " ".join(text.split()) not in known]
        assert not unknown, f"{path.name} has texts that no page has"
        for english, text in texts.items():
            assert text.strip() and sorted(PLACE.findall(english)) == sorted(PLACE.findall(text))
    assert all(words(path).keys() == words(FILES[0]).keys() for path in FILES)
