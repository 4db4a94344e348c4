// @ts-check
// The record button: a red dot while it records, and where the file is afterwards.

/** @import { RecordingState } from "./messages.js" */
/** @import { SettingsSync } from "./settings.js" */

import { api } from "./api.js";
import { $, byId, isFor, TYPED_IN } from "./dom.js";
import { t } from "./language.js";
import { showNotice } from "./status.js";

/** @param {SettingsSync} settings tells what is recorded */
export function wireRecord(settings) {
  const button = byId("record", HTMLButtonElement);
  let busy = false;
  const recording = () => settings.state?.sinks.some(({ kind }) => kind === "recording") ?? false;
  const refresh = () => {
    button.disabled = busy || !settings.connected;
    button.ariaPressed = String(recording());
    $("record-word").textContent = recording() ? t("Recording") : t("Record");
  };
  button.addEventListener("click", async () => {
    busy = true;
    refresh();
    try {
      /** @type {RecordingState} */
      const { on, path } = await api("/api/recording", { on: !recording() });
      showNotice($("notice"), words(on, path));
    } catch (error) {
      showNotice($("notice"), error instanceof Error ? error.message : String(error));
    }
    busy = false;
    refresh();
  });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.key === "r" && !isFor(event, TYPED_IN)) button.click();
  });
  for (const type of ["hello", "state", "change"]) settings.addEventListener(type, refresh);
  refresh();
}

/**
 * @param {boolean} on
 * @param {string} path
 */
function words(on, path) {
  if (on) return t("Recording to {path}", { path });
  return path ? t("Recorded: {path}", { path }) : t("There was nothing to record.");
}
