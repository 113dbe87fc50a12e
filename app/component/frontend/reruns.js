// Streamlit sends all that is triggered in one turn of the event loop as one message, for one fragment: the others of
// that turn would not run. So one is triggered at a time.

const GAP_MS = 50;

const waiting = [];
let timer = null;

// Calls `trigger` soon, alone.
export function inTurn(trigger) {
  waiting.push(trigger);
  timer ??= setTimeout(next, 0);
}

function next() {
  timer = null;
  const trigger = waiting.shift();
  if (!trigger) return;
  timer = setTimeout(next, GAP_MS);
  trigger();
}
