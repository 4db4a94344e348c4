// @ts-check
// The light that is dragged on the picture. Its place is its direction: the picture's centre is
// the camera, `REACH` of the way to the left and right edge is 90 degrees to the side, `REACH` of
// the way to the upper and lower edge is 60 degrees up or down. Lights from behind rest at the edge.

/** @import { SettingsSync } from "./settings.js" */
/** @typedef {[number, number]} Pair two numbers, as each function says */

const REACH = 0.86;
const SIDE = 90;
const UP = 60;
const KEY_STEP = 5;
/** Key -> steps to the right and up in the picture. */
const ARROWS = new Map([
  ["ArrowRight", [1, 0]],
  ["ArrowLeft", [-1, 0]],
  ["ArrowUp", [0, 1]],
  ["ArrowDown", [0, -1]],
]);

/** @type {(value: number, bound: number) => number} */
const limit = (value, bound) => Math.min(bound, Math.max(-bound, value));

/**
 * Azimuth and elevation in degrees -> place in the picture, each 0..1 from its upper left.
 * @param {Pair} direction
 * @param {boolean} mirror
 * @returns {Pair}
 */
export function place([azimuth, elevation], mirror) {
  const x = (limit(azimuth, SIDE) / SIDE) * (mirror ? -1 : 1);
  const y = limit(elevation, UP) / UP;
  return [0.5 + (x * REACH) / 2, 0.5 - (y * REACH) / 2];
}

/**
 * Place in the picture -> azimuth and elevation in whole degrees.
 * @param {Pair} place
 * @param {boolean} mirror
 * @returns {Pair}
 */
export function aimAt([x, y], mirror) {
  const side = limit(((x - 0.5) * 2) / REACH, 1) * (mirror ? -1 : 1);
  return [Math.round(side * SIDE), Math.round(limit(((0.5 - y) * 2) / REACH, 1) * UP)];
}

/**
 * The direction as it is seen in the picture, mirrored or not.
 * @param {Pair} direction
 * @param {boolean} mirror
 */
export function words([azimuth, elevation], mirror) {
  const side = azimuth > 0 === mirror ? "left" : "right";
  const across = azimuth ? `${Math.abs(azimuth)}° ${side}` : "centre";
  const height = elevation ? `${Math.abs(elevation)}° ${elevation > 0 ? "up" : "down"}` : "level";
  return `${across}, ${height}`;
}

/**
 * Makes `handle` (a button inside `stage`, which the picture fills) move the key light. Under a
 * preset without one (off, auto) there is nothing to drag, and no handle.
 * @param {SettingsSync} settings
 * @param {HTMLElement} stage
 * @param {HTMLButtonElement} handle
 * @param {HTMLElement} readout
 */
export function wireLight(settings, stage, handle, readout) {
  const aim = () => {
    const key = settings.preset?.key;
    return key && (settings.current?.aim ?? key);
  };

  function refresh() {
    handle.disabled = !settings.connected;
    const now = settings.current;
    if (!now) return;
    const to = aim();
    handle.hidden = !to;
    readout.textContent = to ? words(to, now.mirror) : "no key light";
    if (!to) return;
    const [x, y] = place(to, now.mirror);
    handle.style.left = `${x * 100}%`;
    handle.style.top = `${y * 100}%`;
    handle.classList.toggle("behind", Math.abs(to[0]) > SIDE);
    handle.ariaLabel = `Light: ${words(to, now.mirror)}. Arrow keys move it, Home puts it back.`;
    handle.dataset.aim = to.join(" ");
  }

  /** @type {Pair | null} */
  let grip = null;
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    handle.setPointerCapture(event.pointerId);
    const box = handle.getBoundingClientRect();
    grip = [event.clientX - box.x - box.width / 2, event.clientY - box.y - box.height / 2];
    handle.classList.add("held");
  });
  handle.addEventListener("pointermove", (event) => {
    const held = aim();
    if (!grip || !held) return;
    const box = stage.getBoundingClientRect();
    const x = (event.clientX - grip[0] - box.x) / box.width;
    const y = (event.clientY - grip[1] - box.y) / box.height;
    const next = aimAt([x, y], settings.current?.mirror ?? false);
    if (next.join() !== held.join()) settings.set({ aim: next });
  });
  for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
    handle.addEventListener(type, () => {
      grip = null;
      handle.classList.remove("held");
    });
  }
  handle.addEventListener("dblclick", () => settings.set({ aim: null }));
  handle.addEventListener("keydown", (event) => {
    const step = event.shiftKey || event.ctrlKey ? 1 : KEY_STEP;
    const flip = settings.current?.mirror ? -1 : 1;
    const held = aim();
    const [right, up] = ARROWS.get(event.key) ?? [0, 0];
    if (held && (right || up)) {
      const [azimuth, elevation] = [held[0] + right * step * flip, held[1] + up * step];
      settings.set({ aim: [limit(azimuth, 180), limit(elevation, 90)] });
    } else if (event.key === "Home" || event.key === "Delete") settings.set({ aim: null });
    else return;
    event.preventDefault();
  });
  for (const type of ["hello", "change", "state"]) settings.addEventListener(type, refresh);
}
