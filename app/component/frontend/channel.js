// The page's one live connection to the server (see app/server/live.py for the messages).
//
// Whoever follows something registers with `follow`; after a lost connection everything is asked for again.

const FIRST_RETRY_MS = 300;
const LONGEST_RETRY_MS = 5000;
// The server says something at least every ten seconds. A connection that a sleeping laptop or a dropped network left
// half open never closes by itself: silence is how it is recognised.
const SILENCE_MS = 25000;

export class Channel {
  #url;
  #socket = null;
  #followed = new Map(); // id -> {message, receive}
  #listeners = new Set();
  #retryMs = FIRST_RETRY_MS;
  #retryTimer = null;
  #heard = 0;
  #watchdog = null;
  connected = false;

  constructor(base) {
    this.#url = new URL("_babysit/live", base);
    this.#url.protocol = this.#url.protocol === "https:" ? "wss:" : "ws:";
    document.addEventListener("visibilitychange", () => {
      this.#send({ type: "visible", visible: !document.hidden });
      if (!document.hidden) this.#retryNow();
    });
    window.addEventListener("online", () => this.#retryNow());
  }

  // Keeps asking for `message` (which has an `id`) until `unfollow(id)`; `receive` gets what the server says about it.
  follow(message, receive) {
    this.#followed.set(message.id, { message, receive });
    if (this.connected) this.#send(message);
    else this.#connect();
  }

  unfollow(id) {
    if (!this.#followed.delete(id)) return;
    this.#send({ type: "drop", id });
  }

  drawn(id) {
    this.#send({ type: "drawn", id });
  }

  // Calls `listener(connected)` when the connection is lost or back. Returns how to stop that.
  onConnection(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #connect() {
    if (this.#socket || this.#retryTimer) return;
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#heard = Date.now();
    this.#watchdog ??= setInterval(() => this.#checkSilence(), 5000);
    socket.onopen = () => {
      this.#retryMs = FIRST_RETRY_MS;
      this.#setConnected(true);
      if (document.hidden) this.#send({ type: "visible", visible: false });
      for (const { message } of this.#followed.values()) this.#send(message);
    };
    socket.onmessage = (event) => {
      this.#heard = Date.now();
      const message = JSON.parse(event.data);
      this.#followed.get(message.id)?.receive(message);
    };
    socket.onclose = () => this.#lost(socket);
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    this.#setConnected(false);
    if (this.#followed.size === 0) return;
    const wait = this.#retryMs * (0.8 + 0.4 * Math.random());
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = null;
      this.#connect();
    }, wait);
  }

  #retryNow() {
    this.#checkSilence();
    if (this.#retryTimer) {
      clearTimeout(this.#retryTimer);
      this.#retryTimer = null;
      this.#connect();
    }
  }

  #checkSilence() {
    const socket = this.#socket;
    if (!socket || Date.now() - this.#heard < SILENCE_MS) return;
    socket.close();
    this.#lost(socket); // a dead connection may take minutes to report its end
  }

  #setConnected(connected) {
    this.connected = connected;
    for (const listener of this.#listeners) listener(connected);
  }

  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }
}
