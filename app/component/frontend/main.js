// What Streamlit calls: `mount` for each component on the page, again whenever its data or the theme changed.

import { Channel } from "./channel.js";
import { Chart } from "./chart.js";
import { markOffline } from "./offline.js";
import { Stamp } from "./stamp.js";

const KINDS = { chart: Chart, stamp: Stamp };

let channel = null;
const mounted = new WeakMap(); // parent element -> {kind, part}

export function mount({ data, parentElement, setTriggerValue }, base) {
  if (!channel) {
    channel = new Channel(base);
    markOffline(channel);
  }
  let known = mounted.get(parentElement);
  if (known && known.kind !== data.kind) {
    known.part.close();
    known = null;
  }
  if (!known) {
    known = { kind: data.kind, part: new KINDS[data.kind](channel, parentElement) };
    mounted.set(parentElement, known);
  }
  known.part.update(data.kind === "chart" ? { ...data, plotly: new URL(data.plotly, base).href } : data, setTriggerValue);
  return () => {
    known.part.close();
    if (mounted.get(parentElement) === known) mounted.delete(parentElement);
  };
}
