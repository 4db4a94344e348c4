// @ts-check
// Which camera is shown, in which size and how often: chosen without a restart.

/** @import { SourcesState, SourceWish } from "./messages.js" */

import { api } from "./api.js";
import { $, byId } from "./dom.js";
import { showNotice } from "./status.js";

/** Fills the lists, keeps them true, and hides them where a browser is the camera. */
export function wireSource() {
  const source = byId("source", HTMLSelectElement);
  const mode = byId("mode", HTMLSelectElement);
  let opened = false; // a list is not made anew under the user's hand
  let busy = false;

  const show = (/** @type {SourcesState} */ state) => {
    $("camera").hidden = state.fixed;
    fill(source, state.sources.map((one) => [one.source, one.label]), state.source);
    const modes = state.sizes.flatMap((size) => state.rates.map((fps) => ({ size, fps })));
    fill(
      mode,
      modes.map(({ size, fps }) => [`${size}@${fps}`, `${size[0]} × ${size[1]}, ${fps} fps`]),
      `${state.size}@${state.fps}`,
    );
  };
  const refresh = () => {
    if (!busy && !opened) api("/api/source").then(show, () => {}); // a lost program is told elsewhere
  };
  const choose = async () => {
    const [size, fps] = mode.value.split("@");
    const [width, height] = size.split(",").map(Number);
    /** @type {SourceWish} */
    const wish = { source: source.value, size: [width, height], fps: Number(fps) };
    busy = source.disabled = mode.disabled = true;
    try {
      show(await api("/api/source", wish));
    } catch (error) {
      showNotice($("notice"), error instanceof Error ? error.message : String(error));
    }
    busy = opened = source.disabled = mode.disabled = false;
    refresh(); // what was refused is not shown as chosen
  };
  for (const select of [source, mode]) {
    select.addEventListener("change", choose);
    select.addEventListener("blur", () => (opened = false));
    select.addEventListener("pointerdown", () => (opened = true));
    select.addEventListener("keydown", () => (opened = true));
  }
  return refresh;
}

/**
 * @param {HTMLSelectElement} select
 * @param {string[][]} options values and labels
 * @param {string} chosen
 */
function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, label]) => new Option(label, value)));
  select.value = chosen;
}
