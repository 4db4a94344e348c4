// @ts-check
// The first steps, shown once: four of them, each beside what it speaks of.

import { $, byId } from "./dom.js";
import { t } from "./language.js";

const KEPT = "tour";

/** What is spoken of, and what is said. @type {[string, () => string][]} */
const STEPS = [
  ["presets", () => t("Choose a light. Each picture shows you in it, as you are now.")],
  ["stage", () => t("Drag the light on the picture. Add more of them, with colours, under Adjust.")],
  ["compare", () => t("Hold this, or C, to see yourself without it; Wipe shows both.")],
  ["route", () => t("Here is where your picture goes. Pick that camera in Zoom, Meet or Teams.")],
];

function seen() {
  try {
    return localStorage.getItem(KEPT) !== null;
  } catch {
    return true; // it could not be remembered: better never than each time
  }
}

/** Shows the tour, unless it was seen or left before. */
export function wireTour() {
  if (seen()) return;
  const tour = byId("tour", HTMLElement);
  const next = byId("tour-next", HTMLButtonElement);
  let step = 0;

  const show = () => {
    STEPS.forEach(([id], i) => $(id).classList.toggle("toured", i === step));
    $("tour-text").textContent = STEPS[step][1]();
    $("tour-count").textContent = t("{step} of {steps}", { step: step + 1, steps: STEPS.length });
    next.textContent = step + 1 < STEPS.length ? t("Next") : t("Done");
  };
  const end = () => {
    tour.hidden = true;
    for (const [id] of STEPS) $(id).classList.remove("toured");
    try {
      localStorage.setItem(KEPT, "seen");
    } catch {
      return; // then it comes again
    }
  };
  next.addEventListener("click", () => {
    step += 1;
    if (step < STEPS.length) show();
    else end();
  });
  byId("tour-skip", HTMLButtonElement).addEventListener("click", end);
  tour.addEventListener("keydown", ({ key }) => key === "Escape" && end());
  tour.hidden = false;
  show();
}
