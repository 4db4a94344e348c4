import assert from "node:assert/strict";
import { test } from "node:test";

import { History } from "../../../web/static/history.js";
import { colored, colorOf } from "../../../web/static/light-editor.js";

test("a colour that is chosen is the one that is shown, as bright as before", () => {
  for (const hex of ["#ff0000", "#8040ff", "#ffd2a1"]) {
    const light = { azimuth: 0, elevation: 0, softness: 0, rgb: [0.5, 2.5, 1] };
    const rgb = colored(hex, light);
    assert.ok(Math.abs(Math.max(...rgb) - 2.5) < 1e-9);
    const [brightest] = [colorOf({ ...light, rgb })];
    if (hex.includes("ff")) assert.equal(brightest, hex);
  }
});

test("black is no colour of light", () => {
  const light = { azimuth: 0, elevation: 0, softness: 0, rgb: [1, 2, 3] };
  assert.deepEqual(colored("#000000", light), [1, 2, 3]);
});

test("what is dragged is undone at once, and redone", () => {
  let now = 0;
  const history = new History(() => now);
  for (let state = 0; state < 5; state++) {
    history.changes(state);
    now += 100;
  }
  now += 1000;
  history.changes(5);
  assert.equal(history.undo(6), 5);
  assert.equal(history.undo(5), 0);
  assert.equal(history.undo(0), undefined);
  assert.equal(history.redo(0), 5);
  assert.equal(history.redo(5), 6);
  assert.equal(history.redo(6), undefined);
  assert.equal(history.undo(6), 5);
  history.changes(5, true); // what comes after an undo cannot be redone
  assert.equal(history.redo(9), undefined);
});

test("additions are undone one by one, however fast they are made", () => {
  const history = new History(() => 0);
  for (const state of ["none", "one", "two"]) history.changes(state, true);
  assert.equal(history.undo("three"), "two");
  assert.equal(history.undo("two"), "one");
});
