// plotly.js, loaded once per page from this server.

let loading = null;

export function loadPlotly(url) {
  loading ??= load(url).catch((error) => {
    loading = null; // the next chart tries again
    throw error;
  });
  return loading;
}

async function load(url) {
  // The document itself asks for it early (app/server/shell.py).
  const early = document.querySelector("script[data-babysit-plotly]");
  // A document that is complete has run, or failed to load, all that its HTML asked for.
  if (early && !window.Plotly && document.readyState !== "complete") await ended(early);
  if (window.Plotly) return window.Plotly;
  const own = document.createElement("script");
  own.src = url;
  document.head.append(own);
  await ended(own);
  if (window.Plotly) return window.Plotly;
  own.remove();
  throw new Error("the charting library could not be loaded; reload the page");
}

function ended(script) {
  return new Promise((resolve) => {
    script.addEventListener("load", resolve);
    script.addEventListener("error", resolve);
    window.addEventListener("load", resolve);
  });
}
