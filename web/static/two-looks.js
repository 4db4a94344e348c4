// @ts-check
// Two looks to and fro: each keeps light and sliders while the other is shown.

/** @import { Settings } from "./messages.js" */
/** @import { SettingsSync } from "./settings.js" */

import { byId, isFor, TYPED_IN } from "./dom.js";
import { t } from "./language.js";

/**
 * Makes the page's button, and the key B, switch between look A and look B.
 * @param {SettingsSync} settings
 */
export function wireTwoLooks(settings) {
  const button = byId("two-looks", HTMLButtonElement);
  /** @type {"A" | "B"} */
  let shown = "A";
  /** @type {Partial<Settings> | null} the look that is not shown; null: it is the same */
  let other = null;

  button.addEventListener("click", () => {
    const { current, preset } = settings;
    if (!current || !preset) return;
    const names = /** @type {(keyof Settings)[]} */ (Object.keys(preset.settings));
    const here = Object.fromEntries(names.map((name) => [name, current[name]]));
    settings.set(other ?? here);
    other = here;
    shown = shown === "A" ? "B" : "A";
    refresh();
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === "b" && !isFor(event, TYPED_IN)) button.click();
  });
  const refresh = () => {
    button.disabled = !settings.connected;
    byId("two-looks-word", HTMLElement).textContent = t("Look {name}", { name: shown });
  };
  for (const type of ["hello", "change"]) settings.addEventListener(type, refresh);
  refresh();
}
