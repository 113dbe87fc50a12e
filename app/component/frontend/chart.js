// One chart in the page: asks for its figure, draws it in place, keeps the person's view.

import { KEYS_HELP, keyAction } from "./keyboard.js";
import { loadPlotly } from "./plotly.js";
import { summarise } from "./summary.js";
import { pageTheme } from "./theme.js";
import { View } from "./view.js";

const OFFLINE_AFTER_MS = 1500;

let count = 0;

export class Chart {
  #channel;
  #id = `chart-${(count += 1)}`;
  #root = document.createElement("div");
  #plot = document.createElement("div");
  #note = document.createElement("div");
  #offline = document.createElement("div");
  #asked = null; // what was asked for, as text
  #subject = null; // what the person's view belongs to
  #figure = null; // the newest figure, drawn or not
  #waiting = false; // #figure is not on the screen yet
  #drawing = false;
  #held = false; // a mouse button is down in the chart
  #near = true; // in or near the viewport
  #drawnOnce = false;
  #gone = false;
  #view = new View();
  #data = null;
  #Plotly = null;
  #stops = [];
  #offlineTimer = null;

  constructor(channel, parent) {
    this.#channel = channel;
    this.#root.className = "babysit-chart";
    this.#root.dataset.state = "loading";
    this.#plot.className = "babysit-plot";
    this.#plot.tabIndex = 0;
    this.#plot.setAttribute("role", "figure");
    this.#plot.setAttribute("aria-description", KEYS_HELP);
    this.#note.className = "babysit-note";
    this.#note.setAttribute("role", "status");
    this.#offline.className = "babysit-offline";
    this.#offline.textContent = "Disconnected: reconnecting…";
    this.#offline.hidden = true;
    this.#root.append(this.#plot, this.#note, this.#offline);
    parent.append(this.#root);
    this.#listen();
  }

  // Called by Streamlit with new parameters, and when the theme changed.
  update(data) {
    this.#data = data;
    this.#root.style.height = `${data.height}px`;
    const theme = pageTheme(this.#root);
    const message = { type: "chart", id: this.#id, chart: data.chart, runs: data.runs, params: data.params, theme };
    const asked = JSON.stringify(message);
    if (asked === this.#asked) return;
    this.#asked = asked;
    const subject = JSON.stringify([data.chart, data.runs]);
    if (subject !== this.#subject) {
      this.#subject = subject;
      this.#view = new View();
    }
    this.#channel.follow(message, (answer) => this.#receive(answer));
    this.#load(data.plotly);
  }

  close() {
    this.#gone = true;
    this.#channel.unfollow(this.#id);
    clearTimeout(this.#offlineTimer);
    for (const stop of this.#stops) stop();
    if (this.#drawnOnce) this.#Plotly.purge(this.#plot);
    this.#root.remove();
  }

  #listen() {
    const resizes = new ResizeObserver(() => requestAnimationFrame(() => this.#resize()));
    resizes.observe(this.#root);
    const sight = new IntersectionObserver(
      (entries) => {
        this.#near = entries.at(-1).isIntersecting;
        this.#draw();
      },
      { rootMargin: "300px" },
    );
    sight.observe(this.#root);
    this.#plot.addEventListener("keydown", (event) => this.#key(event));
    this.#plot.addEventListener("pointerdown", () => (this.#held = true));
    const release = () => {
      if (!this.#held) return;
      this.#held = false;
      // plotly.js finishes the drag in its own handler of this event; new data must come after it.
      setTimeout(() => this.#draw(), 0);
    };
    const seen = () => this.#draw();
    window.addEventListener("pointerup", release, true);
    window.addEventListener("pointercancel", release, true);
    document.addEventListener("visibilitychange", seen);
    this.#stops.push(
      () => resizes.disconnect(),
      () => sight.disconnect(),
      () => window.removeEventListener("pointerup", release, true),
      () => window.removeEventListener("pointercancel", release, true),
      () => document.removeEventListener("visibilitychange", seen),
      this.#channel.onConnection((connected) => this.#connection(connected)),
    );
  }

  async #load(url) {
    try {
      this.#Plotly = await loadPlotly(url);
      this.#draw();
    } catch (error) {
      this.#say(error.message);
    }
  }

  #receive(message) {
    if (message.type === "error") {
      this.#say(message.message);
    } else if (message.type === "figure") {
      this.#figure = message.figure;
      this.#waiting = true;
      this.#draw();
    }
  }

  // Draws the newest figure unless something is in the way; whatever was in the way calls this again.
  async #draw() {
    const blocked = this.#drawing || this.#held || this.#gone || !this.#Plotly || !this.#waiting;
    if (blocked || (this.#drawnOnce && (document.hidden || !this.#near))) return;
    this.#drawing = true;
    this.#waiting = false;
    try {
      await this.#react();
      this.#say("");
    } catch (error) {
      this.#say(`This chart could not be drawn: ${error.message}`);
    }
    this.#drawing = false;
    this.#channel.drawn(this.#id);
    this.#draw();
  }

  async #react() {
    const { data = [], layout = {} } = this.#figure;
    const shown = { ...this.#view.over(layout), autosize: true, uirevision: this.#subject };
    shown.modebar = { ...this.#modebar(), ...layout.modebar };
    delete shown.width;
    delete shown.height;
    await this.#Plotly.react(this.#plot, this.#view.overTraces(data), shown, this.#config());
    if (this.#gone) {
      this.#Plotly.purge(this.#plot);
      return;
    }
    if (!this.#drawnOnce) {
      this.#drawnOnce = true;
      this.#root.dataset.state = "drawn";
      this.#plot.on("plotly_relayout", (changes) => this.#view.record(changes));
      this.#plot.on("plotly_restyle", (event) => this.#view.recordTraces(event, this.#plot._fullData));
      this.#plot.on("plotly_doubleclick", () => this.#reset());
    }
    this.#root.dataset.draws = Number(this.#root.dataset.draws ?? 0) + 1;
    this.#plot.setAttribute("aria-label", summarise(this.#data.label, layout, this.#plot._fullData));
  }

  #modebar() {
    const style = getComputedStyle(this.#root);
    const color = style.getPropertyValue("--st-text-color").trim() || undefined;
    return { bgcolor: "rgba(0,0,0,0)", color, activecolor: style.getPropertyValue("--st-primary-color").trim() || color };
  }

  #config() {
    return {
      displaylogo: false,
      showSendToCloud: false, // plotly.js would otherwise offer to upload the chart
      plotlyServerURL: "",
      showTips: false,
      doubleClick: false, // ours: also forgets the zoom that is kept over new data
      responsive: false, // the ResizeObserver sees more than window sizes
      modeBarButtonsToRemove: ["autoScale2d", "resetScale2d", "select2d", "lasso2d"],
      modeBarButtonsToAdd: [
        { name: "reset", title: "Reset view (double-click)", icon: this.#Plotly.Icons.home, click: () => this.#reset() },
      ],
    };
  }

  #reset() {
    this.#view.reset();
    this.#waiting = this.#figure !== null;
    setTimeout(() => this.#draw(), 0);
  }

  #key(event) {
    if (!this.#drawnOnce || event.altKey || event.ctrlKey || event.metaKey) return;
    const action = keyAction(event.key, this.#plot._fullLayout);
    if (!action) return;
    event.preventDefault();
    if (action === "reset") this.#reset();
    else this.#Plotly.relayout(this.#plot, action);
  }

  #resize() {
    const visible = this.#root.clientWidth > 0 && this.#root.clientHeight > 0;
    if (this.#drawnOnce && !this.#gone && visible) this.#Plotly.Plots.resize(this.#plot);
  }

  #say(text) {
    this.#note.textContent = text;
    if (text && !this.#drawnOnce) this.#root.dataset.state = "error";
  }

  #connection(connected) {
    clearTimeout(this.#offlineTimer);
    if (connected) this.#offline.hidden = true;
    else this.#offlineTimer = setTimeout(() => (this.#offline.hidden = false), OFFLINE_AFTER_MS);
  }
}
