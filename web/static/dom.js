// @ts-check

/**
 * The page's element with that id.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (element instanceof type) return element;
  throw new Error(`the page has no ${type.name} called ${id}`);
}

/**
 * The same, where any element will do.
 * @param {string} id
 */
export const $ = (id) => byId(id, HTMLElement);

/**
 * Whether a keyboard event goes to an element that a selector matches.
 * @param {KeyboardEvent} event
 * @param {string} selector
 */
export const isFor = ({ target }, selector) => target instanceof Element && target.matches(selector);

/** What takes letters itself, and leaves none for the page's keys. */
export const TYPED_IN = "select, input:not([type=range], [type=color])";
