// The panel: the preview and everything that can be set while the camera runs.

import { api, openSocket, withToken } from "./api.js";
import { buildControls } from "./controls.js";
import { wireLight } from "./light.js";
import { Settings } from "./settings.js";
import { parseFrame, Stage } from "./stage.js";
import { numbers, showState } from "./status.js";
import { wireTheme } from "./theme.js";

const RETRY_MS = [250, 500, 1000, 2000, 4000, 8000];
const LOST = "The connection to the camera program is lost. Trying again…";
const REFUSED =
  "This link is of an earlier run, or not complete. Open the link that vcam printed in its terminal.";

const $ = (id) => document.getElementById(id);
const indicator = { pill: $("state"), banner: $("banner") };
let socket = null;
let tries = 0;

const send = (message) => {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
};
const settings = new Settings(send);
const stage = new Stage({ stage: $("stage"), canvas: $("picture"), wipe: $("wipe") }, sendView);

function sendView() {
  send({ type: "view", visible: !document.hidden, original: stage.needsOriginal });
}

function connect() {
  socket = openSocket("/ws");
  socket.addEventListener("open", () => {
    tries = 0;
    sendView();
  });
  socket.addEventListener("message", async ({ data }) => {
    if (typeof data === "string") return settings.receive(JSON.parse(data));
    const frame = parseFrame(data);
    try {
      await stage.show(frame);
    } finally {
      send({ type: "shown", frame: frame.head.frame });
    }
  });
  socket.addEventListener("close", () => {
    settings.disconnected();
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
  showState(indicator, "lost", LOST);
  setTimeout(connect, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
}

settings.addEventListener("state", () => {
  const { state, reason } = settings.state;
  const ended = state === "stopped" ? "The camera has stopped. Start vcam again." : "";
  showState(indicator, state, reason || ended);
  const { line, detail } = numbers(settings.state);
  $("numbers").textContent = line;
  $("numbers").title = detail;
});
settings.addEventListener("error", ({ detail }) => {
  showState(indicator, settings.state.state, detail);
});

buildControls(settings, {
  presets: $("presets"),
  sliders: $("sliders"),
  mirror: $("mirror"),
  engine: $("engine"),
});
wireLight(settings, $("stage"), $("light"), $("aim"));
wireTheme($("theme"));
$("peer-link").href = withToken("/peer");
document.addEventListener("visibilitychange", sendView);

const compare = $("compare");
const hold = (on) => {
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

/** C, or Space where it presses nothing else (or on the compare button itself). */
const isCompareKey = ({ key, target }) =>
  key === "c" || (key === " " && (target === compare || !target.matches("button, a, select")));
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
  if (isCompareKey(event)) {
    event.preventDefault();
    if (!event.repeat) hold(true);
  } else if (event.key === "w") {
    wipeButton.click();
  }
});
addEventListener("keyup", (event) => {
  if (!stage.comparing || (event.key !== "c" && event.key !== " ")) return;
  event.preventDefault();
  hold(false);
});
addEventListener("blur", () => hold(false));

showState(indicator, "connecting");
connect();
