// The light that is dragged on the picture. Its place is its direction: the picture's centre is
// the camera, `REACH` of the way to the left and right edge is 90 degrees to the side, `REACH` of
// the way to the upper and lower edge is 60 degrees up or down. Lights from behind rest at the edge.

const REACH = 0.86;
const SIDE = 90;
const UP = 60;
const KEY_STEP = 5;

const limit = (value, bound) => Math.min(bound, Math.max(-bound, value));

/** Azimuth and elevation in degrees -> place in the picture, each 0..1 from its upper left. */
export function place([azimuth, elevation], mirror) {
  const x = (limit(azimuth, SIDE) / SIDE) * (mirror ? -1 : 1);
  const y = limit(elevation, UP) / UP;
  return [0.5 + (x * REACH) / 2, 0.5 - (y * REACH) / 2];
}

/** Place in the picture -> azimuth and elevation in whole degrees. */
export function aimAt([x, y], mirror) {
  const side = limit(((x - 0.5) * 2) / REACH, 1) * (mirror ? -1 : 1);
  return [Math.round(side * SIDE), Math.round(limit(((0.5 - y) * 2) / REACH, 1) * UP)];
}

/** The direction as it is seen in the picture, mirrored or not. */
function words([azimuth, elevation], mirror) {
  const side = azimuth > 0 === Boolean(mirror) ? "left" : "right";
  const across = azimuth ? `${Math.abs(azimuth)}° ${side}` : "centre";
  const height = elevation ? `${Math.abs(elevation)}° ${elevation > 0 ? "up" : "down"}` : "level";
  return `${across}, ${height}`;
}

/** Makes `handle` (a button inside `stage`, which the picture fills) move the key light. Under a
 * preset without one (off, auto) there is nothing to drag, and no handle. */
export function wireLight(settings, stage, handle, readout) {
  const aim = () => settings.preset?.key && (settings.current.aim ?? settings.preset.key);

  function refresh() {
    handle.disabled = !settings.connected;
    const now = settings.current;
    if (!now) return;
    const to = aim();
    handle.hidden = !to;
    readout.textContent = to ? words(to, now.mirror) : "no key light";
    if (!to) return;
    const [x, y] = place(to, now.mirror);
    handle.style.left = `${x * 100}%`;
    handle.style.top = `${y * 100}%`;
    handle.classList.toggle("behind", Math.abs(to[0]) > SIDE);
    handle.ariaLabel = `Light: ${words(to, now.mirror)}. Arrow keys move it, Home puts it back.`;
    handle.dataset.aim = to.join(" ");
  }

  let grip = null;
  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    handle.setPointerCapture(event.pointerId);
    const box = handle.getBoundingClientRect();
    grip = [event.clientX - box.x - box.width / 2, event.clientY - box.y - box.height / 2];
    handle.classList.add("held");
  });
  handle.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const box = stage.getBoundingClientRect();
    const x = (event.clientX - grip[0] - box.x) / box.width;
    const y = (event.clientY - grip[1] - box.y) / box.height;
    const next = aimAt([x, y], settings.current?.mirror);
    if (next.join() !== aim().join()) settings.set({ aim: next });
  });
  for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) {
    handle.addEventListener(type, () => {
      grip = null;
      handle.classList.remove("held");
    });
  }
  handle.addEventListener("dblclick", () => settings.set({ aim: null }));
  handle.addEventListener("keydown", (event) => {
    const step = event.shiftKey || event.ctrlKey ? 1 : KEY_STEP;
    const flip = settings.current?.mirror ? -1 : 1;
    const [azimuth, elevation] = aim();
    const moved = {
      ArrowRight: [azimuth + step * flip, elevation],
      ArrowLeft: [azimuth - step * flip, elevation],
      ArrowUp: [azimuth, elevation + step],
      ArrowDown: [azimuth, elevation - step],
    }[event.key];
    if (moved) settings.set({ aim: [limit(moved[0], 180), limit(moved[1], 90)] });
    else if (event.key === "Home" || event.key === "Delete") settings.set({ aim: null });
    else return;
    event.preventDefault();
  });
  for (const type of ["hello", "change", "state"]) settings.addEventListener(type, refresh);
}
