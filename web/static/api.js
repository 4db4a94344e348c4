// @ts-check
// The server of this page, and the token that lets us talk to it.

/** @import { BusyMessage } from "./messages.js" */

export const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";

// A new link pasted into the same tab brings a new token.
addEventListener("hashchange", () => location.reload());

/**
 * `path` with the token, for links between our pages.
 * @param {string} path
 */
export const withToken = (path) => `${path}#token=${token}`;

/** The server refused a request, in its own words. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status of HTTP
   * @param {number} retryAfter seconds after which to ask again; 0: it would be no use
   * @param {Partial<BusyMessage>} answer all that it said
   */
  constructor(message, status, retryAfter = 0, answer = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
    this.answer = answer;
  }
}

/**
 * GET, or POST of a JSON `body`. Returns the answer; throws an `ApiError`.
 * @param {string} path
 * @param {object} [body]
 */
export async function api(path, body) {
  const authorization = { Authorization: `Bearer ${token}` };
  const response = await (body
    ? fetch(path, {
        method: "POST",
        headers: { ...authorization, "Content-Type": "application/json" },
        body: JSON.stringify(body),
      })
    : fetch(path, { headers: authorization }));
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  throw new ApiError(
    answer.error ?? `the server answered ${response.status}`,
    response.status,
    Number(response.headers.get("Retry-After") ?? 0),
    answer,
  );
}

/**
 * A WebSocket to `path`, with the token among its subprotocols.
 * @param {string} path
 */
export function openSocket(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  const socket = new WebSocket(url, ["vcam", `token.${token}`]);
  socket.binaryType = "arraybuffer";
  return socket;
}
