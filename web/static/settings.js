// @ts-check
// The settings as the server has them, with the user's latest changes laid over until they are
// acknowledged. One change is on its way at a time; meanwhile newer ones are merged (newest wins).

/**
 * @import { AckMessage, HelloMessage, LookMessage, ServerMessage, SetMessage, Settings, StateMessage }
 *   from "./messages.js"
 */

const ACK_TIMEOUT_MS = 2000;

/** The server refused a change. */
export class RefusedEvent extends Event {
  /** @param {string} why */
  constructor(why) {
    super("refused");
    this.why = why;
  }
}

/** Events: `hello`, `presets` (other ones), `change` (settings), `state`, `refused` (a `RefusedEvent`). */
export class SettingsSync extends EventTarget {
  /** @param {(message: SetMessage | LookMessage) => boolean} send returns false when there is no connection */
  constructor(send) {
    super();
    this.send = send;
    /** From the server's hello to the end of the connection. */
    this.connected = false;
    /** @type {HelloMessage | null} */
    this.hello = null;
    /** @type {StateMessage | null} */
    this.state = null;
    this.acknowledged = 0;
    /** @type {Settings | null} */
    this.server = null;
    /** @type {Partial<Settings> | null} */
    this.queued = null;
    /** @type {{ id: number, changes: Partial<Settings>, timer: ReturnType<typeof setTimeout> } | null} */
    this.inFlight = null;
    this.flushing = false;
    this.nextId = 1;
  }

  /**
   * The settings to show.
   * @returns {Settings | null}
   */
  get current() {
    if (!this.server) return null;
    return { ...this.server, ...this.inFlight?.changes, ...this.queued };
  }

  /** The preset that is chosen, with the settings it brings. */
  get preset() {
    return this.hello?.presets.find((preset) => preset.name === this.current?.preset);
  }

  /**
   * Asks for changes, e.g. `{warmth: 0.3}`, or a preset's `settings`.
   * @param {Partial<Settings>} changes
   */
  set(changes) {
    if (!this.connected) return;
    this.queued = { ...this.queued, ...changes };
    this.dispatchEvent(new Event("change"));
    this.flushSoon();
  }

  /**
   * Takes a message of the server.
   * @param {ServerMessage} message
   */
  receive(message) {
    if (message.type === "hello") {
      this.hello = message;
      this.connected = true;
      this.dispatchEvent(new Event("hello"));
    } else if (message.type === "presets") {
      if (this.hello) this.hello.presets = message.presets;
      this.dispatchEvent(new Event("presets"));
    } else if (message.type === "state") {
      this.state = message;
      this.adopt(message);
      this.dispatchEvent(new Event("state"));
    } else if (message.type === "ack") {
      this.settle(message.id);
      this.adopt(message);
    } else if (message.type === "error") {
      this.settle(message.id);
      this.dispatchEvent(new RefusedEvent(message.error));
      this.dispatchEvent(new Event("change"));
    }
  }

  /**
   * Saves the current look, or changes a saved one.
   * @param {Partial<LookMessage>} change
   */
  look(change) {
    const none = /** @type {const} */ ({ action: "save", name: "", title: "", by: 0 });
    this.send({ ...none, ...change, type: "look", id: this.nextId++ });
  }

  /** The connection is gone, and what was on its way with it. */
  disconnected() {
    clearTimeout(this.inFlight?.timer);
    this.inFlight = null;
    this.queued = null;
    this.acknowledged = 0;
    this.connected = false;
    this.dispatchEvent(new Event("change"));
  }

  /** @param {AckMessage | StateMessage} message */
  adopt({ settings, settings_id }) {
    if (settings_id < this.acknowledged) return;
    const news = settings_id !== this.acknowledged || !this.server;
    this.acknowledged = settings_id;
    this.server = settings;
    if (news) this.dispatchEvent(new Event("change"));
  }

  /** @param {number | null} id */
  settle(id) {
    if (this.inFlight?.id !== id) return;
    clearTimeout(this.inFlight.timer);
    this.inFlight = null;
    if (this.queued) this.flushSoon();
  }

  flushSoon() {
    if (this.inFlight || this.flushing) return;
    this.flushing = true;
    const flush = () => {
      this.flushing = false;
      this.flush();
    };
    if (document.hidden) setTimeout(flush);
    else requestAnimationFrame(flush);
  }

  flush() {
    if (!this.queued || this.inFlight) return;
    const id = this.nextId++;
    const changes = this.queued;
    this.queued = null;
    if (!this.send({ type: "set", id, changes })) return;
    const timer = setTimeout(() => this.settle(id), ACK_TIMEOUT_MS);
    this.inFlight = { id, changes, timer };
  }
}
