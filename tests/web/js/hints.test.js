import assert from "node:assert/strict";
import { test } from "node:test";

import { SlowCamera } from "../../../web/static/hints.js";

const at = (fps_in, state = "running") => ({ state, size: [1920, 1080], stats: { fps_in } });

test("a camera that stays slow is told of, with what helps", () => {
  const camera = new SlowCamera();
  const hints = Array.from({ length: 12 }, () => camera.hint(at(5.1)));
  assert.equal(hints[0], "", "it may have begun just now");
  assert.match(hints[11], /5 frames a second at 1920 × 1080: choose a smaller picture/);
  assert.equal(camera.hint(at(30)), "");
  assert.equal(camera.hint(at(5)), "", "a hiccup is no slow camera");
});

test("a camera that rests is not slow", () => {
  const camera = new SlowCamera();
  for (let n = 0; n < 20; n++) assert.equal(camera.hint(at(3, "idle")), "");
  for (let n = 0; n < 20; n++) assert.equal(camera.hint(at(0)), "");
});
