// The server of this page, and the token that lets us talk to it.

export const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";

// A new link pasted into the same tab brings a new token.
addEventListener("hashchange", () => location.reload());

/** `path` with the token, for links between our pages. */
export const withToken = (path) => `${path}#token=${token}`;

/** GET, or POST of a JSON `body`. Returns the answer; throws an Error with the server's words. */
export async function api(path, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const error = new Error(answer.error ?? `the server answered ${response.status}`);
    error.status = response.status;
    throw error;
  }
  return answer;
}

/** A WebSocket to `path`, with the token among its subprotocols. */
export function openSocket(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  const socket = new WebSocket(url, ["vcam", `token.${token}`]);
  socket.binaryType = "arraybuffer";
  return socket;
}
