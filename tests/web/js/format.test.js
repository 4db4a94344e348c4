import assert from "node:assert/strict";
import { test } from "node:test";

import { formatValue } from "../../../web/static/format.js";

const plain = { unit: "", scale: 1, decimals: 0, signed: false };

test("values are written as the server says", () => {
  const percent = { ...plain, unit: " %", scale: 100 };
  assert.equal(formatValue(0.3, percent), "30 %");
  assert.equal(formatValue(1.4, { ...plain, unit: "×", decimals: 2 }), "1.40×");
  assert.equal(formatValue(-10, { ...plain, unit: "°" }), "−10°");
});

test("a sign stands where there is something to sign", () => {
  const balance = { ...plain, scale: 100, signed: true };
  assert.deepEqual(
    [0.3, -0.3, 0, -0.001].map((value) => formatValue(value, balance)),
    ["+30", "−30", "0", "0"],
  );
});
