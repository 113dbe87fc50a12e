// Zoom and pan by keyboard, along the step axis: + and -, left and right, 0 to see everything again.

import { axesOf } from "./view.js";

const ZOOM = 0.7;
const PAN = 0.15;

export const KEYS_HELP = "Plus and minus zoom, left and right arrows pan, zero resets.";

// What `key` does to the x axes: a plotly relayout object, "reset", or null when the key means nothing here.
export function keyAction(key, fullLayout) {
  if (key === "0" || key === "Home") return "reset";
  const change = { "+": zoom(ZOOM), "=": zoom(ZOOM), "-": zoom(1 / ZOOM), ArrowLeft: pan(-PAN), ArrowRight: pan(PAN) }[key];
  if (!change) return null;
  const relayout = {};
  for (const axis of axesOf(fullLayout, "x")) {
    const { range, type, fixedrange } = fullLayout[axis];
    if (fixedrange || (type !== "linear" && type !== "log")) continue;
    relayout[`${axis}.range`] = change(Number(range[0]), Number(range[1]));
  }
  return Object.keys(relayout).length ? relayout : null;
}

function zoom(factor) {
  return (from, to) => {
    const middle = (from + to) / 2;
    const half = ((to - from) / 2) * factor;
    return [middle - half, middle + half];
  };
}

function pan(share) {
  return (from, to) => [from + share * (to - from), to + share * (to - from)];
}
