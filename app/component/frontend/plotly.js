// plotly.js, loaded once per page from this server.

let loading = null;

export function loadPlotly(url) {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.async = true;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null; // the next chart tries again
      script.remove();
      reject(new Error("the charting library could not be loaded; reload the page"));
    };
    document.head.append(script);
  });
  return loading;
}
