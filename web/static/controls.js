// Preset chips, sliders, mirror and engine: shared by the panel and the peer page.

const NAMES = {
  strength: "Strength",
  intensity: "Intensity",
  warmth: "Warmth",
  fill: "Fill",
  background: "Background",
  shadows: "Shadows",
  highlights: "Highlights",
  yaw: "Turn",
  pitch: "Tilt",
};
const ORDER = [
  "intensity", "warmth", "fill", "shadows", "highlights", "background", "strength", "yaw", "pitch",
];
const FORMAT = {
  intensity: (v) => `${v.toFixed(2)}×`,
  warmth: (v) => `${v > 0 ? "+" : v < 0 ? "−" : ""}${Math.abs(Math.round(v * 100))}`,
  yaw: (v) => `${v}°`,
  pitch: (v) => `${v}°`,
};
const percent = (v) => `${Math.round(v * 100)} %`;
const COARSE = 5; // arrow keys move this many steps; one with Shift or Ctrl
const FINE = 0.2; // dragging with Shift or Ctrl moves this much less

let fineKey = false;
for (const type of ["keydown", "keyup"]) {
  addEventListener(type, (event) => (fineKey = event.shiftKey || event.ctrlKey));
}
addEventListener("blur", () => (fineKey = false)); // the key may be let go elsewhere

/** The presets with the keys that choose them: 1 to 9 in order, 0 for `off`. */
export function presetKeys(presets) {
  let next = 1;
  return presets.map((preset) => {
    if (preset.name === "off") return [preset, "0"];
    return [preset, next <= 9 ? String(next++) : ""];
  });
}

/** Builds the controls into `elements` ({presets, sliders, mirror, engine}) and keeps them true. */
export function buildControls(settings, elements) {
  settings.addEventListener("hello", () => {
    buildPresets(settings, elements.presets);
    buildSliders(settings, elements.sliders);
    const options = settings.hello.engines.map((name) => new Option(engineTitle(name), name));
    elements.engine.replaceChildren(...options);
    refresh(settings, elements);
  });
  elements.mirror.addEventListener("click", () => {
    settings.set({ mirror: !settings.current?.mirror });
  });
  elements.engine.addEventListener("change", () => settings.set({ engine: elements.engine.value }));
  for (const type of ["change", "state"]) {
    settings.addEventListener(type, () => refresh(settings, elements));
  }
  refresh(settings, elements);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.matches("select")) return;
    const found = presetKeys(settings.hello?.presets ?? []).find(([, key]) => key === event.key);
    if (found) settings.set({ preset: found[0].name });
    if (event.key === "m") elements.mirror.click();
  });
}

const engineTitle = (name) => name[0].toUpperCase() + name.slice(1);

function buildPresets(settings, container) {
  const chips = presetKeys(settings.hello.presets).map(([preset, key]) => {
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
    chip.addEventListener("click", () => settings.set({ preset: preset.name }));
    return chip;
  });
  container.replaceChildren(...chips);
}

function buildSliders(settings, container) {
  const rows = ORDER.filter((name) => name in settings.hello.controls).map((name) => {
    const { low, high, step, help } = settings.hello.controls[name];
    const row = document.createElement("div");
    row.className = "slider";
    row.dataset.control = name;
    const label = document.createElement("label");
    label.htmlFor = `control-${name}`;
    label.textContent = NAMES[name];
    const value = document.createElement("output");
    value.htmlFor = label.htmlFor;
    value.ariaLive = "off"; // the slider speaks for itself
    const input = document.createElement("input");
    Object.assign(input, { type: "range", id: label.htmlFor, min: low, max: high, step });
    input.value = settings.hello.controls[name].default;
    row.title = `${help}. Double-click: back to the preset's value. Shift: finer.`;
    row.append(label, value, input);
    wireSlider(settings, name, step, input, row);
    return row;
  });
  container.replaceChildren(...rows);
}

function wireSlider(settings, name, step, input, row) {
  const put = (value) => settings.set({ [name]: clamp(Number(value.toFixed(4)), input) });
  const reset = () => {
    const fallback = settings.hello.controls[name].default;
    settings.set({ [name]: settings.preset?.controls[name] ?? fallback });
  };
  let start = null;
  input.addEventListener("pointerdown", () => (start = settings.current?.[name] ?? null));
  input.addEventListener("pointerup", () => (start = null)); // sliders capture the pointer
  input.addEventListener("input", () => {
    const value = input.valueAsNumber;
    put(fineKey && start !== null ? start + (value - start) * FINE : value);
  });
  input.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (way) {
      const steps = event.shiftKey || event.ctrlKey ? 1 : COARSE;
      event.preventDefault();
      put((settings.current?.[name] ?? input.valueAsNumber) + way * steps * step);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      reset();
    }
  });
  row.addEventListener("dblclick", reset);
}

const clamp = (value, { min, max }) => Math.min(Number(max), Math.max(Number(min), value));

function refresh(settings, { presets, sliders, mirror, engine }) {
  const inputs = sliders.querySelectorAll("input");
  for (const control of [...presets.children, ...inputs, mirror, engine]) {
    control.disabled = !settings.connected;
  }
  const now = settings.current;
  if (!now || !settings.hello) return;
  for (const chip of presets.children) {
    chip.ariaPressed = String(chip.dataset.preset === now.preset);
  }
  for (const row of sliders.children) {
    const name = row.dataset.control;
    const input = row.querySelector("input");
    const text = (FORMAT[name] ?? percent)(now[name]);
    row.hidden = settings.state?.unsupported_controls.includes(name) ?? true;
    row.querySelector("output").value = text;
    input.value = now[name];
    input.ariaValueText = text;
    const share = (value) => (value - input.min) / (input.max - input.min);
    const ends = [share(Math.max(0, input.min)), share(now[name])].sort((a, b) => a - b);
    input.style.setProperty("--from", ends[0]);
    input.style.setProperty("--to", ends[1]);
    row.classList.toggle("changed", now[name] !== settings.preset?.controls[name]);
  }
  mirror.ariaPressed = String(now.mirror);
  engine.value = now.engine;
}
