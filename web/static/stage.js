// @ts-check
// Draws preview frames, and compares: the whole original while held, or both sides of a wipe.

/** @import { BinaryHeader, FrameHeader } from "./messages.js" */
/**
 * @template {BinaryHeader} H
 * @typedef {{ head: H, parts: Uint8Array<ArrayBuffer>[] }} Pictures
 */

/**
 * Reads a message with pictures (see `PreviewSink.write` and `ThumbnailSink.write`).
 * @param {ArrayBuffer} buffer
 * @returns {Pictures<BinaryHeader>}
 */
export function parsePictures(buffer) {
  const length = new DataView(buffer).getUint32(0);
  /** @type {BinaryHeader} */
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let offset = 4 + length;
  const parts = head.parts.map((size) => {
    const part = new Uint8Array(buffer, offset, size);
    offset += size;
    return part;
  });
  return { head, parts };
}

/** @param {Uint8Array<ArrayBuffer>} part */
export const decode = (part) => createImageBitmap(new Blob([part], { type: "image/jpeg" }));

/** The picture. */
export class Stage {
  /**
   * @param {{ stage: HTMLElement, canvas: HTMLCanvasElement, wipe: HTMLElement }} elements
   * @param {() => void} onNeeds is called when it begins or stops to need originals
   */
  constructor(elements, onNeeds) {
    this.elements = elements;
    this.context = /** @type {CanvasRenderingContext2D} */ (
      elements.canvas.getContext("2d", { alpha: false })
    );
    this.onNeeds = onNeeds;
    this.comparing = false;
    this.wiping = false;
    this.split = 0.5;
    /** @type {ImageBitmap | null} */
    this.relit = null;
    /** @type {ImageBitmap | null} */
    this.original = null;
    this.frames = 0;
    this.wireWipe();
  }

  /** Whether originals are to be sent along. */
  get needsOriginal() {
    return this.comparing || this.wiping;
  }

  /**
   * Decodes and draws a frame; resolves when it is on the canvas.
   * @param {Pictures<FrameHeader>} frame
   */
  async show({ head, parts }) {
    const [relit, original] = await Promise.all(parts.map(decode));
    this.relit?.close();
    this.relit = relit;
    if (original || !this.needsOriginal) {
      // else it is on its way: keeping the last one for a frame does not flicker
      this.original?.close();
      this.original = original ?? null;
    }
    const { canvas, stage } = this.elements;
    if (canvas.width !== head.width || canvas.height !== head.height) {
      canvas.width = head.width;
      canvas.height = head.height;
      stage.style.setProperty("--ratio", String(head.width / head.height));
    }
    this.frames += 1;
    canvas.dataset.frames = String(this.frames);
    canvas.dataset.settingsId = String(head.settings_id);
    stage.classList.add("live");
    this.draw();
  }

  /**
   * Holds the original in view, or lets go.
   * @param {boolean} on
   */
  compare(on) {
    this.change(() => (this.comparing = on));
  }

  /**
   * Shows both sides of a divider, or not.
   * @param {boolean} on
   */
  wipe(on) {
    this.change(() => (this.wiping = on));
  }

  /** @param {() => void} make */
  change(make) {
    const before = this.needsOriginal;
    make();
    if (this.needsOriginal !== before) this.onNeeds();
    if (!this.needsOriginal) {
      // an old one would flash up at the next comparison
      this.original?.close();
      this.original = null;
    }
    const { stage, wipe } = this.elements;
    stage.classList.toggle("comparing", this.comparing);
    stage.classList.toggle("wiping", this.wiping && !this.comparing);
    wipe.hidden = !this.wiping || this.comparing;
    this.draw();
  }

  draw() {
    if (!this.relit) return;
    const { width, height } = this.elements.canvas;
    const whole = this.comparing ? this.original : null;
    this.context.drawImage(whole ?? this.relit, 0, 0, width, height);
    this.elements.canvas.dataset.shows = whole ? "original" : "relit";
    if (this.wiping && !this.comparing && this.original) {
      const edge = Math.round(width * this.split);
      this.context.save();
      this.context.beginPath();
      this.context.rect(0, 0, edge, height);
      this.context.clip();
      this.context.drawImage(this.original, 0, 0, width, height);
      this.context.restore();
      this.elements.canvas.dataset.shows = "both";
    }
  }

  wireWipe() {
    const { stage, wipe } = this.elements;
    const set = (/** @type {number} */ split) => {
      this.split = Math.min(1, Math.max(0, split));
      stage.style.setProperty("--split", String(this.split));
      wipe.ariaValueNow = String(Math.round(this.split * 100));
      this.draw();
    };
    let held = false;
    wipe.addEventListener("pointerdown", (event) => {
      held = true;
      wipe.setPointerCapture(event.pointerId);
    });
    wipe.addEventListener("pointermove", (event) => {
      const box = stage.getBoundingClientRect();
      if (held) set((event.clientX - box.x) / box.width);
    });
    wipe.addEventListener("lostpointercapture", () => (held = false));
    wipe.addEventListener("dblclick", () => set(0.5));
    wipe.addEventListener("keydown", (event) => {
      const step = event.shiftKey || event.ctrlKey ? 0.01 : 0.05;
      const moved = {
        ArrowLeft: this.split - step,
        ArrowDown: this.split - step,
        ArrowRight: this.split + step,
        ArrowUp: this.split + step,
        PageDown: this.split - 0.2,
        PageUp: this.split + 0.2,
        Home: 0,
        End: 1,
      }[event.key];
      if (moved === undefined) return;
      event.preventDefault();
      set(moved);
    });
    set(0.5);
  }
}
