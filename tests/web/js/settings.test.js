import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { SettingsSync } from "../../../web/static/settings.js";

const rim = { name: "rim", settings: { preset: "rim", aim: null, warmth: 0.4, fill: 0 } };
const off = { name: "off", settings: { preset: "off", aim: null, warmth: 0, fill: 0 } };
const START = { preset: "off", aim: [5, 5], mirror: false, engine: "triplane", warmth: 0, fill: 0 };

let sent, settings, online, now, timers;

globalThis.setTimeout = (run, ms = 0) => {
  const timer = { run, due: now + ms };
  timers.add(timer);
  return timer;
};
globalThis.clearTimeout = (timer) => timers.delete(timer);

function passes(ms) {
  now += ms;
  for (const timer of timers) {
    if (timer.due > now) continue;
    timers.delete(timer);
    timer.run();
  }
}

beforeEach(() => {
  now = 0;
  timers = new Set();
  globalThis.document = { hidden: true }; // its changes go out by setTimeout
  sent = [];
  online = true;
  settings = new SettingsSync((message) => online && sent.push(message) > 0);
  settings.receive({ type: "hello", presets: [off, rim], controls: {}, engines: [] });
  settings.receive({ type: "state", settings_id: 1, settings: START });
});

const ack = (id, settings_id, changes) =>
  settings.receive({ type: "ack", id, settings_id, settings: { ...START, ...changes } });

test("a change shows at once, and goes out once", () => {
  settings.set({ warmth: 0.1 });
  settings.set({ warmth: 0.2, fill: 0.5 });
  assert.equal(settings.current.warmth, 0.2);
  passes(1);
  assert.deepEqual(sent, [{ type: "set", id: 1, changes: { warmth: 0.2, fill: 0.5 } }]);
});

test("while one change is on its way newer ones are merged, the newest wins", () => {
  settings.set({ warmth: 0.1 });
  passes(1);
  settings.set({ warmth: 0.2 });
  settings.set({ warmth: 0.3 });
  passes(1);
  assert.equal(sent.length, 1);
  assert.equal(settings.current.warmth, 0.3);
  ack(1, 2, { warmth: 0.1 });
  assert.equal(settings.current.warmth, 0.3, "the acknowledged one does not flash up");
  passes(1);
  assert.deepEqual(sent[1], { type: "set", id: 2, changes: { warmth: 0.3 } });
});

test("a preset shows what the server says that it sets, and undoes no other wish", () => {
  settings.set({ engine: "geometry", warmth: 0.9 });
  settings.set(rim.settings);
  settings.set({ fill: 0.7 });
  passes(1);
  const changes = { engine: "geometry", preset: "rim", aim: null, warmth: 0.4, fill: 0.7 };
  assert.deepEqual(sent[0].changes, changes);
  assert.deepEqual(settings.current, { ...START, ...changes });
  assert.equal(settings.preset, rim);
});

test("a refused change goes back to what the server has", () => {
  const told = [];
  settings.addEventListener("refused", (event) => told.push(event.why));
  settings.set({ warmth: 7 });
  passes(1);
  settings.receive({ type: "error", id: 1, error: "out of range" });
  assert.deepEqual(told, ["out of range"]);
  assert.equal(settings.current.warmth, 0);
});

test("an older state does not undo an acknowledged change", () => {
  settings.set({ warmth: 0.1 });
  passes(1);
  ack(1, 3, { warmth: 0.1 });
  settings.receive({ type: "state", settings_id: 2, settings: START });
  assert.equal(settings.current.warmth, 0.1);
});

test("an answer that never comes is not waited for", () => {
  settings.set({ warmth: 0.1 });
  passes(1);
  settings.set({ fill: 0.2 });
  passes(2000);
  passes(1);
  assert.deepEqual(sent.map(({ changes }) => changes), [{ warmth: 0.1 }, { fill: 0.2 }]);
});

test("what cannot be sent is not shown", () => {
  online = false;
  settings.set({ warmth: 0.1 });
  passes(1);
  assert.equal(settings.current.warmth, 0);
  settings.disconnected();
  settings.set({ warmth: 0.2 });
  assert.equal(settings.current.warmth, 0);
});
