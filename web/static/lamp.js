// @ts-check
// The colour of a lamp.

/** Black bodies in sRGB, the brightest channel at 255. @type {[number, number[]][]} */
const BODIES = [
  [2700, [255, 169, 87]],
  [3500, [255, 196, 137]],
  [4500, [255, 219, 186]],
  [5500, [255, 236, 224]],
  [6500, [255, 249, 253]],
];

/**
 * Red, green and blue of 0..255 of a colour temperature of 2700 to 6500 K.
 * @param {number} kelvin
 */
export function kelvinToRgb(kelvin) {
  const after = BODIES.findIndex(([at]) => at >= kelvin);
  if (after <= 0) return after ? [...BODIES[BODIES.length - 1][1]] : [...BODIES[0][1]];
  const [[low, cool], [high, warm]] = [BODIES[after - 1], BODIES[after]];
  const part = (kelvin - low) / (high - low);
  return cool.map((value, i) => value + (warm[i] - value) * part);
}
