// A chart in words, for who cannot see it: the figure's own summary (layout.meta.summary), else its newest values.

const MOST_TRACES = 8;

export function summarise(label, layout, fullData) {
  const own = layout?.meta?.summary;
  if (typeof own === "string") return label ? `${label}. ${own}` : own;
  const parts = [];
  for (const trace of fullData ?? []) {
    if (trace.visible !== true || trace.type !== "scatter" || !trace.name || trace.showlegend === false) continue;
    const last = lastPoint(trace);
    if (last) parts.push(`${plain(trace.name)} ${number(last[1])} at ${number(last[0])}`);
    if (parts.length === MOST_TRACES) break;
  }
  return [label, parts.join("; ")].filter(Boolean).join(". ") || "Chart";
}

function lastPoint(trace) {
  for (let at = (trace.y?.length ?? 0) - 1; at >= 0; at -= 1) {
    if (Number.isFinite(trace.y[at])) return [trace.x?.[at] ?? at, trace.y[at]];
  }
  return null;
}

function number(value) {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
}

const ENTITIES = { "&lt;": "<", "&gt;": ">", "&amp;": "&", "&#8203;": "" };

function plain(name) {
  return name.replace(/<[^>]*>/g, " ").replace(/&(lt|gt|amp|#8203);/g, (entity) => ENTITIES[entity]);
}
