// What the person did to a chart's view (zoom, pan), kept apart from the figure so that new data never undoes it.

const AXIS = /^[xy]axis\d*$/;
const CHANGE = /^([xy]axis\d*)\.(range|autorange)(\[(\d)\])?$/;

export class View {
  #ranges = new Map(); // axis name -> [from, to]
  #visible = new Map(); // trace -> true or "legendonly"
  #revision = 0;

  // Takes in the changes of one plotly_relayout event.
  record(changes) {
    for (const [key, value] of Object.entries(changes)) {
      const change = CHANGE.exec(key);
      if (!change) continue;
      const [, axis, what, , end] = change;
      if (what === "autorange") {
        if (value) this.#ranges.delete(axis);
      } else if (end === undefined) {
        if (Array.isArray(value)) this.#ranges.set(axis, [...value]);
      } else {
        const range = this.#ranges.get(axis) ?? [];
        range[Number(end)] = value;
        this.#ranges.set(axis, range);
      }
    }
  }

  // Takes in what a plotly_restyle event (a click in the legend) did to which of the traces.
  recordTraces([changes, indices], fullData) {
    if (!("visible" in changes)) return;
    const values = Array.isArray(changes.visible) ? changes.visible : [changes.visible];
    indices.forEach((index, at) => {
      if (fullData[index]) this.#visible.set(traceKey(fullData[index]), values[at % values.length]);
    });
  }

  // `data` with what the person switched on and off in the legend. plotly.js remembers it by a trace's place or id, and
  // so loses it when a trace joins or goes.
  overTraces(data) {
    if (this.#visible.size === 0) return data;
    return data.map((trace) => {
      const visible = this.#visible.get(traceKey(trace));
      return visible === undefined || trace.visible === false ? trace : { ...trace, visible };
    });
  }

  get changed() {
    return this.#ranges.size > 0;
  }

  // Back to what the figure itself says.
  reset() {
    this.#ranges.clear();
    this.#revision += 1;
  }

  // `layout` with the person's view put over it; `layout` itself is left as it is.
  over(layout) {
    const result = { ...layout };
    const axes = new Set(["xaxis", "yaxis", ...Object.keys(layout).filter((key) => AXIS.test(key))]);
    for (const axis of axes) {
      // plotly.js would otherwise bring its own memory of a zoom back after a reset.
      result[axis] = { ...layout[axis], uirevision: `view-${this.#revision}` };
      const range = this.#ranges.get(axis);
      if (range?.length === 2) Object.assign(result[axis], { range: [...range], autorange: false });
    }
    return result;
  }
}

function traceKey(trace) {
  return `${trace.legendgroup ?? ""}|${trace.name ?? ""}`;
}

export function axesOf(fullLayout, letter) {
  return Object.keys(fullLayout).filter((key) => AXIS.test(key) && key.startsWith(letter));
}
