// @ts-check
// The light that is dragged on the picture. Its place is its direction: the picture's centre is
// the camera, `REACH` of the way to the left and right edge is 90 degrees to the side, `REACH` of
// the way to the upper and lower edge is 60 degrees up or down. Lights from behind rest at the edge.

/** @import { Light, Settings } from "./messages.js" */
/** @import { SettingsSync } from "./settings.js" */
/** @typedef {[number, number]} Pair two numbers, as each function says */

import { t } from "./language.js";

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
  const across = { degrees: Math.abs(azimuth) };
  const height = { degrees: Math.abs(elevation) };
  const left = azimuth > 0 === mirror;
  return [
    !azimuth ? t("centre") : left ? t("{degrees}° left", across) : t("{degrees}° right", across),
    !elevation ? t("level") : elevation > 0 ? t("{degrees}° up", height) : t("{degrees}° down", height),
  ].join(", ");
}

/**
 * The lights that are on: the preset's or those in their place, the key light where it is aimed.
 * Empty under a preset without any (off, auto).
 * @param {SettingsSync} settings
 * @returns {Light[]}
 */
export function lightsOf({ preset, current }) {
  const [key, ...others] = (preset?.lights.length && current?.lights) || (preset?.lights ?? []);
  if (!key) return [];
  const [azimuth, elevation] = current?.aim ?? [key.azimuth, key.elevation];
  return [{ ...key, azimuth, elevation }, ...others];
}

/**
 * What changes one of the lights. The key light alone is aimed, so that a preset stays one.
 * @param {SettingsSync} settings
 * @param {number} index
 * @param {Partial<Light>} change
 * @returns {Partial<Settings>}
 */
export function withLight(settings, index, change) {
  const lights = lightsOf(settings);
  const light = { ...lights[index], ...change };
  const moved = "azimuth" in change && Object.keys(change).length === 2;
  if (index === 0 && moved) return { aim: [light.azimuth, light.elevation] };
  return { aim: null, lights: lights.map((other, at) => (at === index ? light : other)) };
}

/**
 * Makes a handle (a button inside `stage`, which the picture fills) move a light.
 * @param {SettingsSync} settings
 * @param {HTMLElement} stage
 * @param {HTMLButtonElement} handle
 * @param {{ index: number, edit: (changes: Partial<Settings>) => void, reset: () => void }} light
 */
export function wireHandle(settings, stage, handle, { index, edit, reset }) {
  const light = () => lightsOf(settings).at(index);
  /** @param {Pair} aim */
  const move = ([azimuth, elevation]) => edit(withLight(settings, index, { azimuth, elevation }));
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
    const held = light();
    if (!grip || !held) return;
    const box = stage.getBoundingClientRect();
    const x = (event.clientX - grip[0] - box.x) / box.width;
    const y = (event.clientY - grip[1] - box.y) / box.height;
    const next = aimAt([x, y], settings.current?.mirror ?? false);
    if (next[0] !== held.azimuth || next[1] !== held.elevation) move(next);
  });
  for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
    handle.addEventListener(type, () => {
      grip = null;
      handle.classList.remove("held");
    });
  }
  handle.addEventListener("dblclick", reset);
  handle.addEventListener("keydown", (event) => {
    if (event.metaKey || event.altKey) return;
    const step = event.shiftKey || event.ctrlKey ? 1 : KEY_STEP;
    const flip = settings.current?.mirror ? -1 : 1;
    const held = light();
    const [right, up] = ARROWS.get(event.key) ?? [0, 0];
    if (held && (right || up)) {
      const [azimuth, elevation] = [held.azimuth + right * step * flip, held.elevation + up * step];
      move([limit(azimuth, 180), limit(elevation, 90)]);
    } else if (event.key === "Home") reset();
    else return;
    event.preventDefault();
  });
}

/**
 * Puts a handle where its light is; without a light it is hidden.
 * @param {HTMLButtonElement} handle
 * @param {Light | undefined} light
 * @param {boolean} mirror
 * @param {string} name
 */
export function showHandle(handle, light, mirror, name) {
  handle.hidden = !light;
  if (!light) return;
  /** @type {Pair} */
  const aim = [light.azimuth, light.elevation];
  const [x, y] = place(aim, mirror);
  handle.style.left = `${x * 100}%`;
  handle.style.top = `${y * 100}%`;
  handle.classList.toggle("behind", Math.abs(light.azimuth) > SIDE);
  handle.ariaLabel = t("{name}: {direction}. Arrow keys move it, Home puts it back.", {
    name,
    direction: words(aim, mirror),
  });
  handle.dataset.aim = aim.join(" ");
}

/**
 * The key light alone: for pages without an editor of lights.
 * @param {SettingsSync} settings
 * @param {HTMLElement} stage
 * @param {HTMLButtonElement} handle
 * @param {HTMLElement} readout
 */
export function wireLight(settings, stage, handle, readout) {
  const edit = (/** @type {Partial<Settings>} */ changes) => settings.set(changes);
  wireHandle(settings, stage, handle, { index: 0, edit, reset: () => edit({ aim: null }) });
  const refresh = () => {
    handle.disabled = !settings.connected;
    if (!settings.current) return;
    const [key] = lightsOf(settings);
    showHandle(handle, key, settings.current.mirror, t("Light"));
    readout.textContent = direction(key, settings.current.mirror);
  };
  for (const type of ["hello", "change", "state"]) settings.addEventListener(type, refresh);
}

/**
 * @param {Light | undefined} light
 * @param {boolean} mirror
 */
export const direction = (light, mirror) =>
  light ? words([light.azimuth, light.elevation], mirror) : t("no key light");
