import assert from "node:assert/strict";
import { test } from "node:test";

import { presetKeys } from "../../../web/static/presets.js";

test("keys 1 to 9 choose presets in order, 0 chooses off, and the rest have none", () => {
  const names = ["off", ..."abcdefghijk"];
  const keys = presetKeys(names.map((name) => ({ name }))).map(([, key]) => key);
  assert.deepEqual(keys, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "", ""]);
});
