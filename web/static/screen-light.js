// @ts-check
// Turns a display, or a frame of it, into a lamp. Each display remembers its own settings.

import { byId, isFor } from "./dom.js";
import { t } from "./language.js";
import { kelvinToRgb } from "./lamp.js";

const NAMES = ["width", "warmth", "brightness"];
const DEFAULTS = [16, 4500, 100];
const LARGEST = 50; // percent of the shorter side: no room is left in the middle
const HIDE_MS = 4000;

const room = byId("lamp-room", HTMLElement);
const inputs = NAMES.map((name) => byId(`lamp-${name}`, HTMLInputElement));
// The place of a display among the others is all that pages learn of it.
const place = /** @type {{ availLeft?: number, availTop?: number }} */ (screen);
const key = `screen-light ${place.availLeft ?? 0} ${place.availTop ?? 0}`;

function stored() {
  try {
    const kept = JSON.parse(localStorage.getItem(key) ?? "null");
    return Array.isArray(kept) && kept.length === NAMES.length ? kept.map(Number) : DEFAULTS;
  } catch {
    return DEFAULTS; // storage may be forbidden, or damaged
  }
}

function show() {
  const [width, warmth, brightness] = inputs.map((input) => Number(input.value));
  const color = kelvinToRgb(warmth).map((value) => Math.round((value * brightness) / 100));
  document.body.style.backgroundColor = `rgb(${color.join(" ")})`;
  room.style.inset = `${width}vmin`;
  room.classList.toggle("all", width >= LARGEST);
  const units = ["%", " K", "%"];
  inputs.forEach((input, i) => (input.ariaValueText = `${input.value}${units[i]}`));
  try {
    localStorage.setItem(key, JSON.stringify([width, warmth, brightness]));
  } catch {
    return; // it cannot be kept
  }
}

stored().forEach((value, i) => (inputs[i].value = String(value)));
for (const input of inputs) input.addEventListener("input", show);
show();

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
function touched() {
  room.classList.remove("hidden");
  clearTimeout(timer);
  timer = setTimeout(() => {
    const held = room.contains(document.activeElement) && !document.fullscreenElement;
    if (!held) room.classList.add("hidden");
  }, HIDE_MS);
}
for (const type of ["pointermove", "pointerdown", "keydown", "focusin"]) addEventListener(type, touched);
touched();

const full = byId("lamp-full", HTMLButtonElement);
async function toggleFull() {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await document.documentElement.requestFullscreen().catch(() => {}); // some pages may not
}
full.addEventListener("click", toggleFull);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.key === "f" && !isFor(event, "select")) toggleFull();
});
document.addEventListener("fullscreenchange", () => {
  const label = document.fullscreenElement ? t("Leave full screen") : t("Full screen");
  full.firstChild?.replaceWith(label);
});

async function stayAwake() {
  if (document.hidden || !("wakeLock" in navigator)) return;
  await navigator.wakeLock.request("screen").catch(() => {}); // on battery it may be refused
}
document.addEventListener("visibilitychange", stayAwake);
stayAwake();
