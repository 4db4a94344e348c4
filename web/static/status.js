// @ts-check
// Words for the loop's state: the pill, the banner, the line of numbers.

/** @import { StateMessage } from "./messages.js" */
/** @typedef {{ pill: HTMLElement, banner: HTMLElement }} Indicator */

import { t } from "./language.js";

const STATES = {
  connecting: "Connecting",
  waiting: "In line",
  starting: "Starting",
  running: "Live",
  degraded: "Degraded",
  idle: "Idle",
  stopped: "Stopped",
  lost: "Disconnected",
  refused: "No access",
  ended: "Ended",
};

export const REFUSED =
  "This link is of an earlier run, or not complete. Open the link that vcam printed in its terminal.";
export const STOPPED = "The camera has stopped. Start vcam again.";

const NOTICE_MS = 6000;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let noticeTimer;

/** @param {string} text */
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * Shows for a while why one's own change was refused, apart from the state's reason.
 * @param {HTMLElement} element
 * @param {string} text
 */
export function showNotice(element, text) {
  element.textContent = sentence(t(text));
  element.hidden = false;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => (element.hidden = true), NOTICE_MS);
}

/**
 * Shows `state` in the pill; `reason`, if any, in the banner.
 * @param {Indicator} indicator
 * @param {keyof typeof STATES} state
 */
export function showState({ pill, banner }, state, reason = "") {
  pill.textContent = t(STATES[state]);
  pill.dataset.state = state;
  const text = sentence(t(reason));
  banner.hidden = !text;
  if (banner.textContent !== text) banner.textContent = text;
}

/**
 * From where to where the picture goes, and how to get a virtual camera if there is none.
 * @param {Pick<StateMessage, "source" | "sinks">} state
 */
export function route({ source, sinks }) {
  const line = `${source} → ${sinks.map(({ label }) => label).join(", ") || t("preview only")}`;
  if (sinks.some(({ kind }) => kind === "virtual-camera")) return line;
  return t("{line}: no virtual camera. To get one, run “vcam doctor”.", { line });
}

/**
 * The line of numbers of a state message, and details for its tooltip.
 * @param {Pick<StateMessage, "stats" | "size" | "effort">} state
 */
export function numbers({ stats, size, effort }) {
  const drops = Object.values(stats.drops).reduce((sum, count) => sum + count, 0);
  const parts = [`${Math.round(stats.fps_out)} fps`];
  if (stats.latency_ms.p50 !== undefined) parts.push(`${Math.round(stats.latency_ms.p50)} ms`);
  parts.push(t("{count} dropped", { count: drops }));
  if (size) parts.push(`${size[0]} × ${size[1]}`);
  if (effort.level) parts.push(`${effort.name}: ${effort.reason}`);
  const detail = [
    `camera ${stats.fps_in} fps`,
    ...Object.entries(stats.stages_ms).map(([name, ms]) => `${name} ${ms.p50} ms`),
    ...Object.entries(stats.drops).map(([name, count]) => `dropped before ${name}: ${count}`),
    `event loop lag p99 ${stats.event_loop_lag_ms.p99 ?? 0} ms`,
  ];
  return { line: parts.join("  ·  "), detail: detail.join("\n") };
}
