// @ts-check
// Own looks: what is shown now, saved as a preset; renamed, ordered and deleted once it is chosen.

/** @import { LookMessage } from "./messages.js" */
/** @import { SettingsSync } from "./settings.js" */

import { $, byId } from "./dom.js";
import { t } from "./language.js";

/**
 * Wires the page's buttons and its dialog for a name.
 * @param {SettingsSync} settings
 */
export function wireLooks(settings) {
  const dialog = byId("look-dialog", HTMLDialogElement);
  const input = byId("look-name", HTMLInputElement);
  const save = byId("look-save", HTMLButtonElement);
  const own = ["rename", "earlier", "later", "delete"].map((name) =>
    byId(`look-${name}`, HTMLButtonElement),
  );
  const [rename, earlier, later, forget] = own;
  /** @type {"save" | "rename"} */
  let action = "save";

  /** @param {Partial<LookMessage>} change */
  const ask = (change) => settings.look({ name: settings.preset?.name ?? "", ...change });
  /** @param {"save" | "rename"} which */
  const open = (which) => {
    action = which;
    $("look-title").textContent = which === "save" ? t("Save this look") : t("Rename this look");
    input.value = settings.preset?.own ? settings.preset.title : "";
    dialog.showModal();
    input.select();
  };
  save.addEventListener("click", () => open("save"));
  rename.addEventListener("click", () => open("rename"));
  earlier.addEventListener("click", () => ask({ action: "move", by: -1 }));
  later.addEventListener("click", () => ask({ action: "move", by: 1 }));
  forget.addEventListener("click", () => {
    if (confirm(t("Delete the look “{title}”?", { title: settings.preset?.title ?? "" }))) ask({ action: "delete" });
  });
  byId("look-cancel", HTMLButtonElement).addEventListener("click", () => dialog.close());
  dialog.addEventListener("submit", () => ask({ action, title: input.value }));

  const refresh = () => {
    save.disabled = !settings.connected;
    for (const button of own) {
      button.hidden = !settings.preset?.own;
      button.disabled = !settings.connected;
    }
  };
  for (const type of ["hello", "presets", "change"]) settings.addEventListener(type, refresh);
  refresh();
}
