// @ts-check
// The lights on the picture: added, removed, dragged and coloured. A handle's glow is as large as
// its light is soft, the ring around it as far along as it is bright.

/** @import { Light, Settings } from "./messages.js" */
/** @import { SettingsSync } from "./settings.js" */
/** @typedef {Pick<Settings, "aim" | "lights">} Arrangement what undo goes back to */

import { byId, isFor, TYPED_IN } from "./dom.js";
import { History } from "./history.js";
import { t } from "./language.js";
import { direction, lightsOf, showHandle, wireHandle, withLight } from "./light.js";

const MOST = 6; // as many as the server takes
const LEAST_LIGHT = 0.05;
const MOST_LIGHT = 6;
/** @type {Light} where a new light appears, if the side is free */
const NEW = { azimuth: 50, elevation: 20, rgb: [1, 1, 1], softness: 0.3 };

const clamp = (/** @type {number} */ value, low = 0, high = 1) =>
  Math.min(high, Math.max(low, value));
const encode = (/** @type {number} */ light) =>
  light <= 0.0031308 ? light * 12.92 : 1.055 * light ** (1 / 2.4) - 0.055;
const decode = (/** @type {number} */ value) =>
  value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;

/**
 * A light's colour at its brightest, as sRGB in hex.
 * @param {Light} light
 */
export function colorOf({ rgb }) {
  const most = Math.max(...rgb);
  const bytes = rgb.map((part) => Math.round(encode(part / most) * 255));
  return `#${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/**
 * The colour in hex, as bright as a light was.
 * @param {string} hex
 * @param {Light} light
 * @returns {Light["rgb"]}
 */
export function colored(hex, { rgb }) {
  const parts = [1, 3, 5].map((at) => decode(parseInt(hex.slice(at, at + 2), 16) / 255));
  const scale = Math.max(...rgb) / Math.max(...parts);
  if (!Number.isFinite(scale)) return rgb; // black is no colour of light
  const [red, green, blue] = parts.map((part) => part * scale);
  return [red, green, blue];
}

/** Brightness on a slider, 0..1: each step is the same factor. */
const shareOf = (/** @type {Light} */ { rgb }) =>
  clamp(Math.log(Math.max(...rgb) / LEAST_LIGHT) / Math.log(MOST_LIGHT / LEAST_LIGHT));

/**
 * @param {Light} light
 * @param {number} share
 * @returns {Light["rgb"]}
 */
function brightened({ rgb }, share) {
  const scale = (LEAST_LIGHT * (MOST_LIGHT / LEAST_LIGHT) ** clamp(share)) / Math.max(...rgb);
  const [red, green, blue] = rgb.map((part) => part * scale);
  return [red, green, blue];
}

/** @param {number} index */
const nameOf = (index) => index ? t("Light {number}", { number: index + 1 }) : t("Key light");

/**
 * Wires the editor to the page's elements.
 * @param {SettingsSync} settings
 * @param {HTMLElement} stage
 * @param {HTMLElement} readout of the chosen light's direction
 */
export function wireLightEditor(settings, stage, readout) {
  const choice = byId("light-choice", HTMLSelectElement);
  const color = byId("light-color", HTMLInputElement);
  const brightness = byId("light-brightness", HTMLInputElement);
  const softness = byId("light-softness", HTMLInputElement);
  const [add, remove, undo, redo, reset] = ["add", "remove", "undo", "redo", "reset"].map((name) =>
    byId(`light-${name}`, HTMLButtonElement),
  );
  const editor = byId("light-editor", HTMLElement);
  /** @type {History<Arrangement>} */
  const history = new History();
  let chosen = 0;
  let preset = "";

  /** @returns {Arrangement} */
  const arrangement = () => ({
    aim: settings.current?.aim ?? null,
    lights: settings.current?.lights ?? null,
  });
  /**
   * @param {Partial<Settings>} changes
   * @param {boolean} [apart] as of `History.changes`
   */
  const edit = (changes, apart = false) => {
    if (!settings.connected) return;
    history.changes(arrangement(), apart);
    settings.set(changes);
  };
  /** @param {number} index @param {Light} light */
  const replaced = (index, light) =>
    lightsOf(settings).map((other, at) => (at === index ? light : other));
  /** @param {number} index */
  const putBack = (index) => {
    const own = settings.preset?.lights.at(index);
    if (index === 0 && !settings.current?.lights) edit({ aim: null }, true);
    else edit({ aim: null, lights: replaced(index, own ?? NEW) }, true);
  };
  /** @param {number} index */
  const choose = (index) => {
    chosen = index;
    refresh();
  };

  const handles = [byId("light", HTMLButtonElement)];
  /** @param {HTMLButtonElement} handle @param {number} index */
  const wire = (handle, index) => {
    wireHandle(settings, stage, handle, { index, edit, reset: () => putBack(index) });
    for (const type of ["pointerdown", "focus"]) {
      handle.addEventListener(type, () => choose(index));
    }
    handle.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const light = lightsOf(settings).at(index);
      if (!light) return;
      if (event.key === "+" || event.key === "-") {
        const by = event.key === "+" ? 0.05 : -0.05;
        edit(withLight(settings, index, { rgb: brightened(light, shareOf(light) + by) }));
      } else if (event.key === "[" || event.key === "]") {
        const by = event.key === "]" ? 0.05 : -0.05;
        edit(withLight(settings, index, { softness: clamp(light.softness + by) }));
      } else if (event.key === "Delete" || event.key === "Backspace") {
        if (index) drop(index);
        else putBack(0);
      } else return;
      event.preventDefault();
    });
  };
  wire(handles[0], 0);
  while (handles.length < MOST) {
    const handle = document.createElement("button");
    handle.type = "button";
    handle.className = "light";
    handle.title = handles[0].title;
    handle.hidden = true;
    wire(handle, handles.length);
    handles[handles.length - 1].after(handle);
    handles.push(handle);
  }

  /** @param {number} index */
  function drop(index) {
    const lights = lightsOf(settings);
    if (lights.length < 2) return;
    edit({ aim: null, lights: lights.filter((_, at) => at !== index) }, true);
    choose(Math.min(index, lights.length - 2));
    handles[chosen].focus();
  }

  add.addEventListener("click", () => {
    const lights = lightsOf(settings);
    if (!lights.length || lights.length >= MOST) return;
    const rights = lights.filter(({ azimuth }) => azimuth > 0).length;
    const side = rights * 2 > lights.length ? -1 : 1; // where there are fewer
    edit({ aim: null, lights: [...lights, { ...NEW, azimuth: side * NEW.azimuth }] }, true);
    choose(lights.length);
    handles[chosen].focus();
  });
  remove.addEventListener("click", () => drop(chosen));
  reset.addEventListener("click", () => edit({ aim: null, lights: null }, true));
  const back = () => {
    const to = history.undo(arrangement());
    if (to) settings.set(to);
  };
  const forth = () => {
    const to = history.redo(arrangement());
    if (to) settings.set(to);
  };
  undo.addEventListener("click", back);
  redo.addEventListener("click", forth);
  addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || isFor(event, TYPED_IN)) return;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.shiftKey) back();
    else if (key === "y" || key === "z") forth();
    else return;
    event.preventDefault();
  });

  choice.addEventListener("change", () => choose(Number(choice.value)));
  /** @param {(light: Light) => Partial<Light>} change */
  const editChosen = (change) => {
    const light = lightsOf(settings).at(chosen);
    if (light) edit(withLight(settings, chosen, change(light)));
  };
  color.addEventListener("input", () => editChosen((l) => ({ rgb: colored(color.value, l) })));
  brightness.addEventListener("input", () =>
    editChosen((light) => ({ rgb: brightened(light, brightness.valueAsNumber) })),
  );
  softness.addEventListener("input", () => editChosen(() => ({ softness: softness.valueAsNumber })));

  function refresh() {
    const { current, connected } = settings;
    for (const input of [...handles, choice, color, brightness, softness]) {
      input.disabled = !connected;
    }
    if (current && current.preset !== preset) {
      preset = current.preset;
      history.clear();
      chosen = 0;
    }
    const lights = lightsOf(settings);
    chosen = Math.min(chosen, Math.max(lights.length - 1, 0));
    editor.hidden = !lights.length;
    const mirror = current?.mirror ?? false;
    readout.textContent = direction(lights.at(chosen), mirror);
    handles.forEach((handle, index) => {
      const light = lights.at(index);
      showHandle(handle, light, mirror, nameOf(index));
      if (!light) return;
      handle.classList.toggle("chosen", index === chosen && lights.length > 1);
      handle.style.setProperty("--color", colorOf(light));
      handle.style.setProperty("--soft", String(light.softness));
      handle.style.setProperty("--bright", String(shareOf(light)));
    });
    add.disabled = !connected || lights.length >= MOST;
    remove.disabled = !connected || lights.length < 2;
    undo.disabled = !connected || !history.before.length;
    redo.disabled = !connected || !history.after.length;
    reset.disabled = !connected || !(current?.lights || current?.aim);
    if (choice.options.length !== lights.length) {
      choice.replaceChildren(...lights.map((_, index) => new Option(nameOf(index), String(index))));
    }
    choice.value = String(chosen);
    const light = lights.at(chosen);
    if (!light) return;
    color.value = colorOf(light);
    for (const [input, value] of /** @type {const} */ ([
      [brightness, shareOf(light)],
      [softness, light.softness],
    ])) {
      input.value = String(value);
      input.ariaValueText = `${Math.round(value * 100)} %`;
      input.style.setProperty("--to", String(value));
    }
  }
  for (const type of ["hello", "change", "state"]) settings.addEventListener(type, refresh);
}
