// @ts-check
// The panel: the preview and everything that can be set while the camera runs.

/** @import { ClientMessage } from "./messages.js" */

import { api, openSocket, withToken } from "./api.js";
import { wireBackdrop } from "./backdrop.js";
import { buildControls } from "./controls.js";
import { $, byId, isFor, TYPED_IN } from "./dom.js";
import { SlowCamera } from "./hints.js";
import { wireLanguage } from "./language.js";
import { wireLightEditor } from "./light-editor.js";
import { wireLooks } from "./looks.js";
import { showThumbnails } from "./presets.js";
import { wireRecord } from "./record.js";
import { RefusedEvent, SettingsSync } from "./settings.js";
import { wireSource } from "./source.js";
import { decode, parsePictures, Stage } from "./stage.js";
import { numbers, REFUSED, route, showNotice, showState, STOPPED } from "./status.js";
import { wireTheme } from "./theme.js";
import { wireTour } from "./tour.js";
import { wireTwoLooks } from "./two-looks.js";

const RETRY_MS = [250, 500, 1000, 2000, 4000, 8000];
const LOST = "The connection to the camera program is lost. Trying again…";
const GOING_AWAY = 1001; // the close code of a server that shuts down (RFC 6455, 7.4.1)

const indicator = { pill: $("state"), banner: $("banner") };
/** @type {WebSocket | null} */
let socket = null;
let tries = 0;
let stopped = false;

const send = (/** @type {ClientMessage} */ message) => {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
};
const settings = new SettingsSync(send);
const slowCamera = new SlowCamera();
const refreshSource = wireSource();
const canvas = byId("picture", HTMLCanvasElement);
const stage = new Stage({ stage: $("stage"), canvas, wipe: $("wipe") }, sendView);

let presetsInView = false;

function sendView() {
  const visible = !document.hidden;
  const thumbnails = visible && presetsInView;
  send({ type: "view", visible, original: stage.needsOriginal, thumbnails });
}

function connect() {
  socket = openSocket("/ws");
  socket.addEventListener("open", () => {
    tries = 0;
    stopped = false;
    sendView();
    refreshSource();
  });
  socket.addEventListener("message", async ({ data }) => {
    if (typeof data === "string") return settings.receive(JSON.parse(data));
    const { head, parts } = parsePictures(data);
    if (head.type === "thumbnails") return showThumbnails($("presets"), head, await decode(parts[0]));
    try {
      await stage.show({ head, parts });
    } finally {
      send({ type: "shown", frame: head.frame });
    }
  });
  socket.addEventListener("close", ({ code }) => {
    stopped ||= code === GOING_AWAY;
    settings.disconnected();
    $("numbers").textContent = $("route").textContent = $("hint").textContent = "";
    $("stage").classList.remove("live");
    reconnect();
  });
}

async function reconnect() {
  const refused = await api("/api/state").then(
    () => false,
    (error) => error.status === 401,
  );
  if (refused) return showState(indicator, "refused", REFUSED);
  if (stopped) showState(indicator, "stopped", STOPPED);
  else showState(indicator, "lost", LOST);
  setTimeout(connect, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
}

settings.addEventListener("state", () => {
  const news = settings.state;
  if (!news) return;
  showState(indicator, news.state, news.reason || (news.state === "stopped" ? STOPPED : ""));
  const { line, detail } = numbers(news);
  $("numbers").textContent = line;
  $("numbers").title = detail;
  $("route").textContent = route(news);
  const hint = $("camera").hidden ? "" : slowCamera.hint(news);
  if ($("hint").textContent !== hint) $("hint").textContent = hint; // it is read aloud once
});
settings.addEventListener("refused", (event) => {
  if (event instanceof RefusedEvent) showNotice($("notice"), event.why);
});

buildControls(settings);
wireBackdrop(settings);
wireLooks(settings);
wireTwoLooks(settings);
wireRecord(settings);
wireLightEditor(settings, $("stage"), $("aim"));
wireTheme(byId("theme", HTMLButtonElement));
wireTour();
wireLanguage($("nav"));
byId("peer-link", HTMLAnchorElement).href = withToken("/peer");
document.addEventListener("visibilitychange", sendView);
new IntersectionObserver(([{ isIntersecting }]) => {
  presetsInView = isIntersecting;
  sendView();
}).observe($("presets"));

const compare = $("compare");
const hold = (/** @type {boolean} */ on) => {
  stage.compare(on);
  compare.ariaPressed = String(on);
};
compare.addEventListener("pointerdown", (event) => {
  compare.setPointerCapture(event.pointerId);
  hold(true);
});
for (const type of ["lostpointercapture", "pointerup", "blur"]) {
  compare.addEventListener(type, () => hold(false));
}
const wipeButton = $("wipe-toggle");
wipeButton.addEventListener("click", () => {
  stage.wipe(!stage.wiping);
  wipeButton.ariaPressed = String(stage.wiping);
});

/**
 * C, Space where it presses nothing else, or Space and Enter on the compare button itself.
 * @param {KeyboardEvent} event
 */
const isCompareKey = (event) => {
  if (event.target === compare) return ["c", " ", "Enter"].includes(event.key);
  return event.key === "c" || (event.key === " " && !isFor(event, "button, a, select"));
};
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isFor(event, TYPED_IN)) return;
  if (isCompareKey(event)) {
    event.preventDefault();
    if (!event.repeat) hold(true);
  } else if (event.key === "w" && !event.repeat) {
    wipeButton.click();
  }
});
addEventListener("keyup", (event) => {
  if (!stage.comparing || !["c", " ", "Enter"].includes(event.key)) return;
  event.preventDefault();
  hold(false);
});
addEventListener("blur", () => hold(false));

showState(indicator, "connecting");
connect();
