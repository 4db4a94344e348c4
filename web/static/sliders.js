// @ts-check
// A slider for each of the server's controls, in its order and groups.

/** @import { Control, ControlName } from "./messages.js" */
/** @import { SettingsSync } from "./settings.js" */

import { formatValue } from "./format.js";
import { t } from "./language.js";

const COARSE = 5; // arrow keys move this many steps; one with Shift or Ctrl
const FINE = 0.2; // dragging with Shift or Ctrl moves this much less

let fineKey = false;

/**
 * Builds the sliders into `container` and keeps them true.
 * @param {SettingsSync} settings
 * @param {HTMLElement} container
 */
export function buildSliders(settings, container) {
  /** @type {Slider[]} */
  let sliders = [];
  settings.addEventListener("hello", () => {
    if (!settings.hello) return;
    const names = /** @type {ControlName[]} */ (Object.keys(settings.hello.controls));
    const controls = settings.hello.controls;
    sliders = names.map((name) => new Slider(settings, name, controls[name]));
    container.replaceChildren(...groupsOf(sliders));
  });
  for (const type of ["hello", "change", "state"]) {
    settings.addEventListener(type, () => sliders.forEach((slider) => slider.refresh()));
  }
  for (const type of /** @type {const} */ (["keydown", "keyup"])) {
    addEventListener(type, (event) => (fineKey = event.shiftKey || event.ctrlKey));
  }
  addEventListener("blur", () => (fineKey = false)); // the key may be let go elsewhere
}

/** @param {Slider[]} sliders */
function groupsOf(sliders) {
  /** @type {Map<string, HTMLElement>} */
  const groups = new Map();
  for (const { row, control } of sliders) {
    const group = groups.get(control.group) ?? document.createElement("div");
    group.className = "slider-group";
    group.role = "group";
    group.ariaLabel = t(control.group);
    group.append(row);
    groups.set(control.group, group);
  }
  return groups.values();
}

class Slider {
  /**
   * @param {SettingsSync} settings
   * @param {ControlName} name
   * @param {Control} control
   */
  constructor(settings, name, control) {
    this.settings = settings;
    this.name = name;
    this.control = control;
    this.row = document.createElement("div");
    this.row.className = "slider";
    this.row.dataset.control = name;
    this.row.title = t("{help}. Double-click: back to the preset's value. Shift: finer.", {
      help: t(control.help),
    });
    const id = `control-${name}`;
    const label = document.createElement("label");
    label.htmlFor = id;
    label.textContent = t(control.label);
    this.output = document.createElement("output");
    this.output.htmlFor.value = id;
    this.output.ariaLive = "off"; // the slider speaks for itself
    this.input = document.createElement("input");
    const { low, high, step } = control;
    Object.assign(this.input, { type: "range", id, min: low, max: high, step });
    this.input.value = String(control.default);
    this.row.append(label, this.output, this.input);
    this.wire();
  }

  /** The value that the chosen preset sets. */
  get preset() {
    return this.settings.preset?.settings[this.name] ?? this.control.default;
  }

  /** @param {number} value */
  put(value) {
    const { low, high } = this.control;
    const inRange = Math.min(high, Math.max(low, Number(value.toFixed(4))));
    this.settings.set({ [this.name]: inRange });
  }

  wire() {
    const { input, settings, name } = this;
    const reset = () => this.put(this.preset);
    /** @type {number | null} */
    let start = null;
    input.addEventListener("pointerdown", () => (start = settings.current?.[name] ?? null));
    input.addEventListener("pointerup", () => (start = null)); // sliders capture the pointer
    input.addEventListener("input", () => {
      const value = input.valueAsNumber;
      this.put(fineKey && start !== null ? start + (value - start) * FINE : value);
    });
    input.addEventListener("keydown", (event) => {
      const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (way) {
        const steps = event.shiftKey || event.ctrlKey ? 1 : COARSE;
        event.preventDefault();
        this.put((settings.current?.[name] ?? input.valueAsNumber) + way * steps * this.control.step);
      } else if (event.key === "Delete" || event.key === "Backspace") {
        event.preventDefault();
        reset();
      }
    });
    this.row.addEventListener("dblclick", reset);
  }

  refresh() {
    const { current, state, connected } = this.settings;
    this.input.disabled = !connected;
    if (!current) return;
    const { low, high, format } = this.control;
    const value = current[this.name];
    const text = formatValue(value, format);
    this.row.hidden = state?.unsupported_controls.includes(this.name) ?? true;
    this.output.value = text;
    this.input.value = String(value);
    this.input.ariaValueText = text;
    const share = (/** @type {number} */ at) => (at - low) / (high - low);
    const [from, to] = [share(Math.max(0, low)), share(value)].sort((a, b) => a - b);
    this.input.style.setProperty("--from", String(from));
    this.input.style.setProperty("--to", String(to));
    this.row.classList.toggle("changed", value !== this.preset);
  }
}
