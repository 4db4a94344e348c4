// @ts-check
// Preset chips, sliders, mirror and engine: shared by the panel and the peer page.

/** @import { SettingsSync } from "./settings.js" */

import { $, byId, isFor, TYPED_IN } from "./dom.js";
import { t } from "./language.js";
import { buildPresets } from "./presets.js";
import { buildSliders } from "./sliders.js";

/**
 * Builds the controls into the page's elements and keeps them true.
 * @param {SettingsSync} settings
 */
export function buildControls(settings) {
  buildPresets(settings, $("presets"));
  buildSliders(settings, $("sliders"));
  const mirror = byId("mirror", HTMLButtonElement);
  const engine = byId("engine", HTMLSelectElement);
  settings.addEventListener("hello", () => {
    const engines = settings.hello?.engines ?? [];
    engine.replaceChildren(...engines.map((name) => new Option(engineTitle(name), name)));
  });
  mirror.addEventListener("click", () => settings.set({ mirror: !settings.current?.mirror }));
  engine.addEventListener("change", () => settings.set({ engine: engine.value }));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === "m" && !isFor(event, TYPED_IN)) mirror.click();
  });
  const refresh = () => {
    mirror.disabled = engine.disabled = !settings.connected;
    if (!settings.current) return;
    mirror.ariaPressed = String(settings.current.mirror);
    engine.value = settings.current.engine;
    const what = settings.state?.runs_on;
    $("runs-on").textContent = what ? t("Runs on: {what}", { what }) : "";
  };
  for (const type of ["hello", "change", "state"]) settings.addEventListener(type, refresh);
  refresh();
}

/** @param {string} name */
const engineTitle = (name) => name.charAt(0).toUpperCase() + name.slice(1);
