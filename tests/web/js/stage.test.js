import assert from "node:assert/strict";
import { test } from "node:test";

import { parsePictures } from "../../../web/static/stage.js";

test("a frame is its header and its JPEGs", () => {
  const head = { type: "frame", frame: 3, width: 2, height: 1, settings_id: 7, parts: [3, 2] };
  const header = new TextEncoder().encode(JSON.stringify(head));
  const message = new Uint8Array(4 + header.length + 5);
  new DataView(message.buffer).setUint32(0, header.length);
  message.set(header, 4);
  message.set([1, 2, 3, 4, 5], 4 + header.length);
  const frame = parsePictures(message.buffer);
  assert.deepEqual(frame.head, head);
  assert.deepEqual(frame.parts.map((part) => [...part]), [[1, 2, 3], [4, 5]]);
});
