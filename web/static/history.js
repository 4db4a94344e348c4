// @ts-check
// Undo and redo.

const TOGETHER_MS = 600; // changes that follow one another so soon, as while dragging, are one
const MOST = 100;

/**
 * States that one can go back to; the oldest are forgotten.
 * @template T
 */
export class History {
  /** @param {() => number} clock milliseconds */
  constructor(clock = () => performance.now()) {
    this.clock = clock;
    /** @type {T[]} */
    this.before = [];
    /** @type {T[]} */
    this.after = [];
    this.last = -Infinity;
  }

  /**
   * Tells of a change, before it is made.
   * @param {T} state that there is
   * @param {boolean} [apart] whether it is a change of its own, however soon it comes
   */
  changes(state, apart = false) {
    const now = this.clock();
    if (apart || now - this.last > TOGETHER_MS) {
      this.before.push(state);
      if (this.before.length > MOST) this.before.shift();
    }
    this.last = apart ? -Infinity : now;
    this.after = [];
  }

  /**
   * The state before, if any.
   * @param {T} state that there is
   */
  undo(state) {
    const to = this.before.pop();
    if (to !== undefined) this.after.push(state);
    this.last = -Infinity;
    return to;
  }

  /**
   * The state that was undone, if any.
   * @param {T} state that there is
   */
  redo(state) {
    const to = this.after.pop();
    if (to !== undefined) this.before.push(state);
    this.last = -Infinity;
    return to;
  }

  clear() {
    this.before = [];
    this.after = [];
    this.last = -Infinity;
  }
}
