import assert from "node:assert/strict";
import { test } from "node:test";

import { aimAt, place, words } from "../../../web/static/light.js";

test("a light from the camera is in the middle", () => {
  assert.deepEqual(place([0, 0], false), [0.5, 0.5]);
});

test("what is dropped somewhere stays there, mirrored or not", () => {
  for (const mirror of [false, true]) {
    for (const azimuth of [-90, -55, 0, 30, 90]) {
      for (const elevation of [-60, 0, 25, 60]) {
        const direction = [azimuth, elevation];
        assert.equal(aimAt(place(direction, mirror), mirror).join(), direction.join());
      }
    }
  }
});

test("lights from behind and from the zenith rest at the edge, and nothing is aimed beyond it", () => {
  assert.deepEqual(place([150, 85], false), place([90, 60], false));
  assert.deepEqual(aimAt([1, 0], false), [90, 60]);
  assert.deepEqual(aimAt([1, 0], true), [-90, 60]);
});

test("directions are told as they are seen", () => {
  assert.equal(words([-55, 25], false), "55° left, 25° up");
  assert.equal(words([-55, 25], true), "55° right, 25° up");
  assert.equal(words([0, 0], false), "centre, level");
});
