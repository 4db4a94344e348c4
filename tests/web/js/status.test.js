import assert from "node:assert/strict";
import { test } from "node:test";

import { numbers, route, showState } from "../../../web/static/status.js";

const camera = { kind: "virtual-camera", label: "vcam on /dev/video9" };
const file = { kind: "recording", label: "virtual camera.mp4" };

test("a virtual camera is known by its kind, not by its name", () => {
  assert.equal(route({ source: "demo", sinks: [camera] }), "demo → vcam on /dev/video9");
  assert.match(route({ source: "demo", sinks: [file] }), /camera\.mp4: no virtual camera/);
  assert.match(route({ source: "demo", sinks: [] }), /preview only: no virtual camera/);
});

const stats = {
  fps_in: 30.1,
  fps_out: 24.6,
  frames_in: 100,
  frames_out: 80,
  drops: { source: 2, preview: 1 },
  sinks: {},
  latency_ms: {},
  stages_ms: { track: { p50: 4, p99: 5 } },
  event_loop_lag_ms: {},
};

const effort = { level: 0, name: "full quality", reason: "" };

test("numbers are left out until they are measured", () => {
  assert.equal(numbers({ stats, size: null, effort }).line, "25 fps  ·  3 dropped");
  const later = { ...stats, latency_ms: { p50: 41.7, p99: 60 } };
  const { line, detail } = numbers({ stats: later, size: [640, 360], effort });
  assert.equal(line, "25 fps  ·  42 ms  ·  3 dropped  ·  640 × 360");
  assert.match(detail, /track 4 ms\ndropped before source: 2/);
});

test("less effort is told with its reason", () => {
  const less = { level: 1, name: "fewer looks at the face", reason: "on battery" };
  const { line } = numbers({ stats, size: null, effort: less });
  assert.equal(line, "25 fps  ·  3 dropped  ·  fewer looks at the face: on battery");
});

test("a reason begins like a sentence, and the banner goes with it", () => {
  const indicator = { pill: { dataset: {} }, banner: {} };
  showState(indicator, "degraded", "no weights");
  assert.deepEqual(indicator.pill, { textContent: "Degraded", dataset: { state: "degraded" } });
  assert.deepEqual(indicator.banner, { hidden: false, textContent: "No weights" });
  showState(indicator, "running");
  assert.equal(indicator.banner.hidden, true);
});
