// @ts-check
// The peer page: this browser's camera goes to the engine over WebRTC and comes back relit.

/** @import { AnswerMessage, JoinState, OfferMessage } from "./messages.js" */
/**
 * @typedef {object} Session one run of the camera; its connections come and go
 * @property {MediaStream} stream
 * @property {RTCPeerConnection} [connection]
 * @property {RTCDataChannel} [channel]
 * @property {ReturnType<typeof setInterval>} [timer] of the numbers
 * @property {ReturnType<typeof setTimeout>} [retry] of the next connection
 * @property {string} [id] of the last connection, as the server calls it
 * @property {string} [ticket] of its place in line
 * @property {string} [bye] why the server is about to end the connection
 * @property {number} tries since the last picture
 */

import { api, ApiError, withToken } from "./api.js";
import { buildControls } from "./controls.js";
import { $, byId } from "./dom.js";
import { t, wireLanguage } from "./language.js";
import { wireLight } from "./light.js";
import { RefusedEvent, SettingsSync } from "./settings.js";
import { numbers, REFUSED, showNotice, showState } from "./status.js";
import { wireTheme } from "./theme.js";

const startButton = byId("start", HTMLButtonElement);
const original = byId("original", HTMLVideoElement);
const relit = byId("relit", HTMLVideoElement);
const indicator = { pill: $("state"), banner: $("banner") };
const GATHER_MS = 2000;
const STATS_MS = 1000;
/** After that long without an answer a connection is replaced, sooner than browsers give it up. */
const PATIENCE_MS = 4000;
const RETRY_MS = [250, 1000, 2000, 4000, 8000];
/** Name of a DOMException -> what to do. */
const CAMERA_ERRORS = new Map([
  ["NotAllowedError", "The browser may not use the camera. Allow it in the address bar, then start again."],
  ["NotFoundError", "No camera was found. Connect one, then start again."],
  ["NotReadableError", "The camera is in use by another program. Close that, then start again."],
]);

/** Whether this is somebody's who was invited: there is no panel for them. */
const joined = location.pathname === "/join";

/** @type {Session | null} */
let session = null;

const settings = new SettingsSync((message) => {
  const channel = session?.channel;
  if (channel?.readyState !== "open") return false;
  channel.send(JSON.stringify(message));
  return true;
});

async function start() {
  startButton.disabled = true;
  showState(indicator, "connecting");
  try {
    await open();
  } catch (error) {
    fail(error);
  }
  startButton.disabled = false;
  refreshButton();
}

/** @param {unknown} error */
function fail(error) {
  if (error instanceof ApiError && error.status === 401) {
    stop("refused", joined ? error.message : `${REFUSED} From there, go to Browser camera.`);
  } else if (error instanceof Error) {
    stop("ended", CAMERA_ERRORS.get(error.name) ?? error.message);
  }
}

async function open() {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers allow the camera only on https pages and on this machine itself.");
  }
  /** @type {JoinState} */
  const { camera } = await api("/api/state");
  const video = {
    width: { ideal: camera.width },
    height: { ideal: camera.height },
    frameRate: { ideal: camera.fps },
  };
  const stream = await navigator.mediaDevices.getUserMedia({ video, audio: false });
  const [track] = stream.getVideoTracks();
  track.contentHint = "motion";
  track.addEventListener("ended", () => stop("ended", "The camera has stopped."));
  original.srcObject = stream;
  session = { stream, tries: 0 }; // from here on, `stop` turns the camera off
  try {
    await connect(session);
  } catch (error) {
    if (!session || !mayWait(error)) throw error;
    standInLine(session, error);
  }
}

/**
 * Connects the session to the server, in the place of its last connection, with its settings.
 * @param {Session} current
 */
async function connect(current) {
  /** @type {JoinState} */
  const { ice_servers } = await api("/api/state");
  if (session !== current) return; // stopped meanwhile
  const connection = new RTCPeerConnection({
    iceServers: ice_servers,
    bundlePolicy: "max-bundle",
  });
  const channel = connection.createDataChannel("control");
  const timer = setInterval(() => showNumbers(connection), STATS_MS);
  Object.assign(current, { connection, channel, timer });
  const alive = () => session === current && current.connection === connection;
  channel.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "bye") current.bye = message.reason;
    else settings.receive(message);
  });
  connection.addEventListener("track", ({ track }) => {
    relit.srcObject = new MediaStream([track]);
  });
  connection.addEventListener("connectionstatechange", () => {
    if (!alive()) return;
    const state = connection.connectionState;
    $("connection").textContent = t(state);
    if (state === "connected") {
      current.tries = 0;
    } else if (state === "failed") {
      reconnect(current);
    } else if (state === "disconnected") {
      showState(indicator, "lost", "The connection is interrupted…");
      setTimeout(() => {
        if (alive() && connection.connectionState === "disconnected") reconnect(current);
      }, PATIENCE_MS);
    }
  });
  channel.addEventListener("close", () => alive() && reconnect(current));
  const { stream } = current;
  const [track] = stream.getVideoTracks();
  connection.addTransceiver(track, { direction: "sendrecv", streams: [stream] });
  await connection.setLocalDescription(await connection.createOffer());
  await gathered(connection);
  if (!alive()) return;
  /** @type {OfferMessage} */
  const offer = {
    type: "offer",
    sdp: connection.localDescription?.sdp ?? "",
    replaces: current.id ?? null,
    settings: current.id ? settings.server : null,
    ticket: current.ticket ?? null,
  };
  /** @type {AnswerMessage} */
  const answer = await api("/api/offer", offer);
  current.id = answer.connection;
  current.ticket = current.bye = undefined;
  await connection.setRemoteDescription(answer);
}

/**
 * Tries again until it works or the user stops it: after a hole in the network, after sleep.
 * @param {Session} current
 */
function reconnect(current) {
  disconnect(current);
  const why = current.bye ?? "The connection was lost. Reconnecting with your settings…";
  showState(indicator, "lost", why);
  tryAgain(current, RETRY_MS[Math.min(current.tries++, RETRY_MS.length - 1)]);
}

/**
 * @param {Session} current
 * @param {number} wait milliseconds
 */
function tryAgain(current, wait) {
  current.retry = setTimeout(async () => {
    try {
      await connect(current);
    } catch (error) {
      if (session !== current) return;
      if (error instanceof ApiError && error.status === 401) fail(error);
      else if (mayWait(error)) standInLine(current, error);
      else reconnect(current);
    }
  }, wait);
}

/**
 * Whether the server is full, and will say when there is a place.
 * @param {unknown} error
 * @returns {error is ApiError}
 */
const mayWait = (error) => error instanceof ApiError && error.status === 503 && error.retryAfter > 0;

/**
 * Waits for a place, and asks for it until there is one.
 * @param {Session} current
 * @param {ApiError} busy
 */
function standInLine(current, busy) {
  disconnect(current);
  current.ticket = busy.answer.ticket ?? current.ticket;
  showState(indicator, "waiting", busy.message);
  tryAgain(current, busy.retryAfter * 1000);
}

/** @param {Session} current */
function disconnect(current) {
  clearTimeout(current.retry);
  clearInterval(current.timer);
  const { connection } = current;
  current.connection = current.channel = undefined;
  connection?.close();
  settings.disconnected();
  document.body.classList.remove("connected");
  $("connection").textContent = t("not connected");
  $("numbers").textContent = "";
}

/**
 * Resolves when all candidates are known, or it has taken long enough.
 * @param {RTCPeerConnection} connection
 */
async function gathered(connection) {
  if (connection.iceGatheringState === "complete") return;
  await new Promise((done) => {
    setTimeout(done, GATHER_MS);
    connection.addEventListener("icegatheringstatechange", () => {
      if (connection.iceGatheringState === "complete") done(undefined);
    });
  });
}

/** @param {Parameters<typeof showState>[1]} state */
function stop(state = "ended", reason = "") {
  const ending = session;
  session = null;
  if (ending) {
    disconnect(ending);
    ending.stream.getTracks().forEach((track) => track.stop());
  }
  original.srcObject = relit.srcObject = null;
  showState(indicator, state, reason);
  refreshButton();
}

function refreshButton() {
  startButton.textContent = session ? t("Stop camera") : t("Start camera");
}

/** @param {RTCPeerConnection} connection */
async function showNumbers(connection) {
  /** @type {Map<string, any>} the values depend on the report's `type` */
  const reports = new Map(/** @type {any} */ (await connection.getStats()));
  if (session?.connection !== connection) return;
  const parts = [];
  for (const report of reports.values()) {
    if (report.type === "inbound-rtp" && report.frameWidth) {
      parts.unshift(`${report.frameWidth} × ${report.frameHeight}`);
      parts.push(`${Math.round(report.framesPerSecond ?? 0)} fps`);
    } else if (report.type === "transport") {
      const trip = reports.get(report.selectedCandidatePairId)?.currentRoundTripTime;
      if (trip !== undefined) parts.push(`round trip ${(trip * 1e3).toFixed(1)} ms`);
    }
  }
  const relighting = settings.state?.stats.latency_ms.p50;
  if (relighting !== undefined) parts.push(`relit in ${Math.round(relighting)} ms`);
  $("numbers").textContent = parts.map((part) => `  ·  ${part}`).join("");
  if (settings.state) $("numbers").title = numbers(settings.state).detail;
}

settings.addEventListener("state", () => {
  if (!settings.state) return;
  document.body.classList.add("connected");
  showState(indicator, settings.state.state, settings.state.reason);
});
settings.addEventListener("change", () => {
  original.classList.toggle("mirrored", Boolean(settings.current?.mirror));
});
settings.addEventListener("refused", (event) => {
  if (event instanceof RefusedEvent) showNotice($("notice"), event.why);
});
for (const video of [original, relit]) {
  // the box takes the picture's shape, so that the light's place in it is its place in the picture
  video.addEventListener("resize", () => {
    if (video.videoWidth) video.style.aspectRatio = String(video.videoWidth / video.videoHeight);
  });
}
let frames = 0;
function count() {
  relit.dataset.frames = String(++frames);
  relit.requestVideoFrameCallback(count);
}
relit.requestVideoFrameCallback?.(count);

buildControls(settings);
wireLight(settings, $("stage"), byId("light", HTMLButtonElement), $("aim"));
wireTheme(byId("theme", HTMLButtonElement));
wireLanguage($("nav"));
const panelLink = byId("panel-link", HTMLAnchorElement);
panelLink.href = withToken("/");
panelLink.hidden = joined;
if (joined) {
  $("place").textContent = t(
    "Your camera goes to the computer that invited you over WebRTC and comes back relit. Nothing is stored.",
  );
}
startButton.addEventListener("click", () => (session ? stop() : start()));
addEventListener("pagehide", () => stop());
api("/api/state").catch(fail); // a link that cannot work is said before anyone tries
