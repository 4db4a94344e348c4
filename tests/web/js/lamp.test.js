import assert from "node:assert/strict";
import { test } from "node:test";

import { kelvinToRgb } from "../../../web/static/lamp.js";

test("a lamp gets bluer with its temperature, and never leaves its ends", () => {
  let last = -1;
  for (let kelvin = 2700; kelvin <= 6500; kelvin += 100) {
    const [red, , blue] = kelvinToRgb(kelvin);
    assert.equal(red, 255);
    assert.ok(blue > last);
    last = blue;
  }
  assert.deepEqual(kelvinToRgb(1000), kelvinToRgb(2700));
  assert.deepEqual(kelvinToRgb(9000), kelvinToRgb(6500));
});
