// @ts-check
// Preset chips, and the keys that choose them.

/** @import { PresetInfo } from "./messages.js" */
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
  chip.append(preset.title);
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
 * @param {SettingsSync} settings
 * @param {HTMLElement} container
 */
function refresh(settings, container) {
  for (const chip of container.querySelectorAll("button")) {
    chip.disabled = !settings.connected;
    if (settings.current) {
      chip.ariaPressed = String(chip.dataset.preset === settings.current.preset);
    }
  }
}
