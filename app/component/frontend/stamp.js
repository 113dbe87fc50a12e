// Has no looks: asks Streamlit to run (the fragment it stands in) again when a run has changed since it last ran.

import { inTurn } from "./reruns.js";

const MIN_INTERVAL_MS = 1000;
// A rerun that was lost (the script was busy, the session was replaced) is asked for again after this long.
const PATIENCE_MS = 10000;

let count = 0;

export class Stamp {
  #channel;
  #id = `stamp-${(count += 1)}`;
  #runs = null;
  #rendered = null; // what the page shows
  #newest = null; // what the server has
  #askedAt = -Infinity;
  #answered = true;
  #timer = null;
  #trigger = null;
  #gone = false;

  constructor(channel, parent) {
    this.#channel = channel;
    // Without this the page would keep a gap for it.
    parent.closest('[data-testid="stElementContainer"]')?.style.setProperty("display", "none");
  }

  update(data, trigger) {
    this.#trigger = trigger;
    this.#rendered = data.stamp;
    this.#answered = true;
    const runs = JSON.stringify(data.runs);
    if (runs !== this.#runs) {
      this.#runs = runs;
      this.#newest = null;
      this.#channel.follow({ type: "stamp", id: this.#id, runs: data.runs }, (message) => {
        if (message.type !== "stamp") return;
        this.#newest = message.stamp;
        this.#check();
      });
    }
    this.#check();
  }

  close() {
    this.#gone = true;
    clearTimeout(this.#timer);
    this.#channel.unfollow(this.#id);
  }

  #check() {
    clearTimeout(this.#timer);
    if (this.#newest === null || this.#newest === this.#rendered) return;
    const wait = this.#askedAt + (this.#answered ? MIN_INTERVAL_MS : PATIENCE_MS) - performance.now();
    if (wait > 0) {
      this.#timer = setTimeout(() => this.#check(), wait);
      return;
    }
    this.#askedAt = performance.now();
    this.#answered = false;
    const asked = this.#newest;
    inTurn(() => {
      if (!this.#gone) this.#trigger("changed", asked);
    });
    this.#timer = setTimeout(() => this.#check(), PATIENCE_MS);
  }
}
