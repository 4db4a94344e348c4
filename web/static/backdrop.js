// @ts-check
// What is seen behind people: a choice, and what goes with it.

/** @import { SettingsSync } from "./settings.js" */

import { api } from "./api.js";
import { $, byId } from "./dom.js";
import { showNotice } from "./status.js";

const LARGEST = 1920; // pixels: the program keeps no more
const WITH_AMOUNT = ["blur", "dim", "gray"];

/** @param {SettingsSync} settings */
export function wireBackdrop(settings) {
  const kind = byId("backdrop", HTMLSelectElement);
  const amount = byId("backdrop-amount", HTMLInputElement);
  const color = byId("backdrop-color", HTMLInputElement);
  const choose = byId("backdrop-file", HTMLButtonElement);
  const file = byId("backdrop-input", HTMLInputElement);

  kind.addEventListener("change", () => settings.set({ backdrop: kind.value }));
  amount.addEventListener("input", () => settings.set({ backdrop_amount: Number(amount.value) }));
  color.addEventListener("input", () => settings.set({ backdrop_color: color.value }));
  choose.addEventListener("click", () => file.click());
  file.addEventListener("change", async () => {
    const picture = file.files?.[0];
    if (!picture) return;
    choose.disabled = true;
    try {
      await api("/api/backdrop", { picture: await encoded(picture) });
    } catch (error) {
      showNotice($("notice"), error instanceof Error ? error.message : String(error));
    }
    choose.disabled = false;
    file.value = "";
  });
  const refresh = () => {
    kind.disabled = !settings.connected;
    const now = settings.current;
    if (!now) return;
    kind.value = now.backdrop;
    if (document.activeElement !== amount) amount.value = String(now.backdrop_amount);
    if (document.activeElement !== color) color.value = now.backdrop_color;
    amount.hidden = !WITH_AMOUNT.includes(now.backdrop);
    color.hidden = now.backdrop !== "color";
    choose.hidden = now.backdrop !== "picture";
  };
  for (const type of ["hello", "change"]) settings.addEventListener(type, refresh);
  refresh();
}

/**
 * A picture in base64, no larger than is kept.
 * @param {File} picture
 */
async function encoded(picture) {
  const image = await createImageBitmap(picture).catch(() => {
    throw new Error(`${picture.name} is no picture that this browser reads.`);
  });
  const scale = Math.min(1, LARGEST / Math.max(image.width, image.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.92).split(",")[1];
}
