// @ts-check
// The page of who runs `vcam serve`: sessions and places, once a second.

/** @import { HouseState, SessionInfo } from "./messages.js" */

import { api, ApiError } from "./api.js";
import { byId, $ } from "./dom.js";
import { t, wireLanguage } from "./language.js";
import { REFUSED, showState } from "./status.js";
import { wireTheme } from "./theme.js";

const EVERY_MS = 1000;
const indicator = { pill: $("state"), banner: $("banner") };

/** @param {SessionInfo} one */
function row({ id, state, reason, fps, age_ms, minutes, engine, runs_on }) {
  const cells = [
    id,
    reason ? `${state}: ${reason}` : state,
    fps.toFixed(1),
    age_ms.toFixed(0),
    minutes.toFixed(0),
    `${engine}, ${runs_on || "not yet"}`,
  ];
  const line = document.createElement("tr");
  line.append(
    ...cells.map((text) => Object.assign(document.createElement("td"), { textContent: text })),
  );
  return line;
}

async function refresh() {
  try {
    /** @type {HouseState} */
    const { sessions, places, waiting, lag_ms } = await api("/api/house");
    $("sessions").replaceChildren(...sessions.map(row));
    $("places").textContent =
      t("{taken} of {places} places taken  ·  {waiting} waiting  ·  event loop lag {lag} ms", {
        taken: sessions.length,
        places,
        waiting,
        lag: lag_ms,
      });
    showState(indicator, "running");
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      showState(indicator, "refused", REFUSED);
      return;
    }
    showState(indicator, "lost", "The server does not answer.");
  }
  setTimeout(refresh, EVERY_MS);
}

wireTheme(byId("theme", HTMLButtonElement));
wireLanguage($("nav"));
refresh();
