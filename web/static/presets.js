// @ts-check
// Preset chips, and the keys that choose them.

/** @import { PresetInfo, ThumbnailsHeader } from "./messages.js" */
/** @import { SettingsSync } from "./settings.js" */

import { isFor, TYPED_IN } from "./dom.js";
import { t } from "./language.js";

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
  const build = () => {
    const keys = presetKeys(settings.hello?.presets ?? []);
    const focused = document.activeElement;
    const name = container.contains(focused) && focused instanceof HTMLElement && focused.dataset.preset;
    const chips = keys.map(([preset, key]) => chipOf(settings, preset, key));
    container.replaceChildren(...chips);
    chips.find((chip) => chip.dataset.preset === name)?.focus();
    drawThumbnails(container);
  };
  for (const type of ["hello", "presets"]) settings.addEventListener(type, build);
  for (const type of ["hello", "presets", "change", "state"]) {
    settings.addEventListener(type, () => refresh(settings, container));
  }
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (isFor(event, TYPED_IN)) return;
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
  const help = t(preset.help);
  chip.title = key ? t("{title} (key {key})", { title: help, key }) : help;
  const picture = document.createElement("canvas");
  picture.className = "thumbnail";
  picture.ariaHidden = "true"; // the name says it
  const title = document.createElement("span");
  title.className = "title";
  title.textContent = t(preset.title);
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
 * The newest thumbnails; chips that are built later are drawn from it, too.
 * @type {{ head: ThumbnailsHeader, sheet: ImageBitmap } | null}
 */
let newest = null;

/**
 * Draws each preset's square of a sheet into its chip.
 * @param {HTMLElement} container
 * @param {ThumbnailsHeader} head
 * @param {ImageBitmap} sheet
 */
export function showThumbnails(container, head, sheet) {
  newest?.sheet.close();
  newest = { head, sheet };
  container.dataset.sheets = String(Number(container.dataset.sheets ?? 0) + 1);
  drawThumbnails(container);
}

/** @param {HTMLElement} container */
function drawThumbnails(container) {
  if (!newest) return;
  const { names, side, columns } = newest.head;
  const places = new Map(names.map((name, place) => [name, place]));
  for (const chip of container.querySelectorAll("button")) {
    const place = places.get(chip.dataset.preset ?? "");
    const picture = chip.querySelector("canvas");
    if (place === undefined || !picture) continue;
    if (picture.width !== side) picture.width = picture.height = side;
    const [x, y] = [(place % columns) * side, Math.floor(place / columns) * side];
    picture.getContext("2d")?.drawImage(newest.sheet, x, y, side, side, 0, 0, side, side);
  }
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
