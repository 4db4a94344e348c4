// @ts-check
// Numbers as people read them.

/** @import { NumberFormat } from "./messages.js" */

/**
 * Writes a control's value.
 * @param {number} value
 * @param {NumberFormat} format
 */
export function formatValue(value, { unit, scale, decimals, signed }) {
  const size = Math.abs(value * scale).toFixed(decimals);
  const sign = Number(size) === 0 ? "" : value < 0 ? "−" : signed ? "+" : "";
  return sign + size + unit;
}
