// @ts-check
// The language of the page: the first of the browser's that we have, until the user chooses another.
// Texts are their own names, in English; `language.NAME.json` has what they are in another language.
// What the server says (an error, a reason) stays as it is.

/** Name -> what speakers call it; English needs no file. */
const LANGUAGES = new Map([
  ["en", "English"],
  ["de", "Deutsch"],
]);
const ATTRIBUTES = ["title", "aria-label"];

function stored() {
  try {
    return localStorage.getItem("language");
  } catch {
    return null; // storage may be forbidden
  }
}

/**
 * @param {readonly string[]} wishes such as `de-AT`, the best first
 */
export function choose(wishes) {
  return wishes.map((wish) => wish.split("-")[0]).find((name) => LANGUAGES.has(name)) ?? "en";
}

const inPage = typeof document !== "undefined"; // not in the units' tests
export const language = inPage ? choose([stored() ?? "", ...navigator.languages]) : "en";

/** @type {Record<string, string>} */
const words = await load();

async function load() {
  if (language === "en") return {};
  return await fetch(`/language.${language}.json`).then(
    (answer) => (answer.ok ? answer.json() : {}),
    () => ({}), // English, then
  );
}

/**
 * A text in the page's language.
 * @param {string} text in English; `{name}` stands for a value
 * @param {Record<string, string | number>} [values]
 */
export function t(text, values = {}) {
  const translated = Object.hasOwn(words, text) ? words[text] : text;
  return translated.replace(/\{(\w+)\}/g, (all, name) => String(values[name] ?? all));
}

/**
 * Translates the texts, titles and names that are in the page already.
 * @param {Document} page
 */
function translate(page) {
  page.documentElement.lang = language;
  const walker = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const text = (node.nodeValue ?? "").replace(/\s+/g, " ").trim();
    if (Object.hasOwn(words, text)) node.nodeValue = words[text];
  }
  for (const name of ATTRIBUTES) {
    for (const element of page.querySelectorAll(`[${name}]`)) {
      element.setAttribute(name, t(element.getAttribute(name) ?? ""));
    }
  }
}

/**
 * Adds the choice of a language to the page's head.
 * @param {HTMLElement} nav
 */
export function wireLanguage(nav) {
  const select = document.createElement("select");
  select.ariaLabel = "Language · Sprache";
  select.id = "language";
  for (const [name, title] of LANGUAGES) {
    const option = new Option(title, name);
    option.lang = name;
    select.append(option);
  }
  select.value = language;
  select.addEventListener("change", () => {
    try {
      localStorage.setItem("language", select.value);
    } catch {
      return; // it cannot be kept
    }
    location.reload();
  });
  nav.prepend(select);
}

if (inPage) translate(document);
