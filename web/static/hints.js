// @ts-check
// What would look better, said when it has been so for a while.

/** @import { StateMessage } from "./messages.js" */

import { t } from "./language.js";

const SLOW_FPS = 12; // many webcams give 5 to 10 where a large picture comes uncompressed
const PATIENCE = 8; // states, of which two come in a second

/** Notices a camera that gives few frames. */
export class SlowCamera {
  constructor() {
    this.slow = 0;
  }

  /**
   * The hint for a state, or an empty text.
   * @param {Pick<StateMessage, "state" | "stats" | "size">} news
   */
  hint({ state, stats, size }) {
    const is = state === "running" && stats.fps_in > 0 && stats.fps_in < SLOW_FPS;
    this.slow = is ? this.slow + 1 : 0;
    if (this.slow < PATIENCE || !size) return "";
    return t(
      "The camera gives {fps} frames a second at {width} × {height}: choose a smaller picture, or light the room.",
      { fps: Math.round(stats.fps_in), width: size[0], height: size[1] },
    );
  }
}
