// @ts-check
// Dark or light: the system's choice, until the user makes another.

import { t } from "./language.js";

const system = matchMedia("(prefers-color-scheme: dark)");

function stored() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null; // storage may be forbidden
  }
}

const theme = () => stored() ?? (system.matches ? "dark" : "light");

/** @param {HTMLButtonElement} button */
function apply(button) {
  document.documentElement.dataset.theme = theme();
  const other = theme() === "dark" ? "light" : "dark";
  button.ariaLabel = button.title =
    other === "dark" ? t("Switch to the dark theme") : t("Switch to the light theme");
}

/**
 * Makes `button` switch between the themes.
 * @param {HTMLButtonElement} button
 */
export function wireTheme(button) {
  button.addEventListener("click", () => {
    const other = theme() === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = other;
    try {
      localStorage.setItem("theme", other);
    } catch {
      return; // it lasts for this page
    }
    apply(button);
  });
  system.addEventListener("change", () => apply(button));
  apply(button);
}
