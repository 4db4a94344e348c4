// @ts-check
// Preset chips, and the keys that choose them.

/** @import { PresetInfo, ThumbnailsHeader } from "./messages.js" */
/** @import { SettingsSync } from "./settings.js" */

import { isFor } from "./dom.js";

/**
 * The presets with the keys that choose them: 1 to 9 in order, 0 for `off`.
 * @param {PresetInfo[]} presets
 * @returns {[PresetInfo, string][]}
 */
export function presetKeys(presets) {
  let next = 1;
  return presets.map((preset) => {
    if (preset.name === "off") return [preset, "0"];
    return [preset, next <= 9 ? String(next++) : ""];
  });
}

/**
 * Builds the chips into `container` and keeps them true.
 * @param {SettingsSync} settings
 * @param {HTMLElement} container
 */
export function buildPresets(settings, container) {
  settings.addEventListener("hello", () => {
    const keys = presetKeys(settings.hello?.presets ?? []);
    container.replaceChildren(...keys.map(([preset, key]) => chipOf(settings, preset, key)));
  });
  for (const type of ["hello", "change", "state"]) {
    settings.addEventListener(type, () => refresh(settings, container));
  }
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (isFor(event, "select")) return;
    const found = presetKeys(settings.hello?.presets ?? []).find(([, key]) => key === event.key);
    if (found) settings.set(found[0].settings);
  });
}

/**
 * @param {SettingsSync} settings
 * @param {PresetInfo} preset
 * @param {string} key
 */
function chipOf(settings, preset, key) {
  const chip = document.createElement("button");
  chip.type = "button";
  chip.className = "chip";
  chip.dataset.preset = preset.name;
  chip.title = preset.help + (key ? ` (key ${key})` : "");
  const picture = document.createElement("canvas");
  picture.className = "thumbnail";
  picture.ariaHidden = "true"; // the name says it
  const title = document.createElement("span");
  title.className = "title";
  title.textContent = preset.title;
  chip.append(picture, title);
  if (key) {
    const hint = document.createElement("kbd");
    hint.textContent = key;
    hint.ariaHidden = "true";
    chip.append(hint);
  }
  chip.addEventListener("click", () => settings.set(preset.settings));
  return chip;
}

/**
 * Draws each preset's square of a sheet into its chip.
 * @param {HTMLElement} container
 * @param {ThumbnailsHeader} head
 * @param {ImageBitmap} sheet is closed
 */
export function showThumbnails(container, { names, side, columns }, sheet) {
  const places = new Map(names.map((name, place) => [name, place]));
  for (const chip of container.querySelectorAll("button")) {
    const place = places.get(chip.dataset.preset ?? "");
    const picture = chip.querySelector("canvas");
    if (place === undefined || !picture) continue;
    if (picture.width !== side) picture.width = picture.height = side;
    const [x, y] = [(place % columns) * side, Math.floor(place / columns) * side];
    picture.getContext("2d")?.drawImage(sheet, x, y, side, side, 0, 0, side, side);
  }
  container.dataset.sheets = String(Number(container.dataset.sheets ?? 0) + 1);
  sheet.close();
}

/**
 * @param {SettingsSync} settings
 * @param {HTMLElement} container
 */
function refresh(settings, container) {
  container.classList.toggle("mirrored", settings.current?.mirror ?? false);
  for (const chip of container.querySelectorAll("button")) {
    chip.disabled = !settings.connected;
    if (settings.current) {
      chip.ariaPressed = String(chip.dataset.preset === settings.current.preset);
    }
  }
}
