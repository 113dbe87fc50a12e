// What the person did to a chart's view (zoom, pan), kept apart from the figure so that new data never undoes it.

const AXIS = /^[xy]axis\d*$/;
const CHANGE = /^([xy]axis\d*)\.(range|autorange)(\[(\d)\])?$/;

export class View {
  #ranges = new Map(); // axis name -> [from, to]
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

export function axesOf(fullLayout, letter) {
  return Object.keys(fullLayout).filter((key) => AXIS.test(key) && key.startsWith(letter));
}
