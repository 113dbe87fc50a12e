// Is the page light or dark? Decided by the background Streamlit really paints, whoever chose it.

export function pageTheme(element) {
  const color = getComputedStyle(element).getPropertyValue("--st-background-color").trim();
  const rgb = parse(color);
  if (!rgb) return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const luma = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
  return luma < 128 ? "dark" : "light";
}

function parse(color) {
  const hex = /^#([0-9a-f]{3}|[0-9a-f]{6})([0-9a-f]{2})?$/i.exec(color);
  if (hex) {
    const digits = hex[1].length === 3 ? [...hex[1]].map((digit) => digit + digit).join("") : hex[1];
    return [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16));
  }
  const rgb = /^rgba?\(\s*([\d.]+)[\s,]+([\d.]+)[\s,]+([\d.]+)/.exec(color);
  return rgb ? rgb.slice(1, 4).map(Number) : null;
}
