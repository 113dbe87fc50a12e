// What the page says while its server cannot be reached, on any view.
//
// Streamlit would put a dialog over everything that asks about the internet. What is on the page is still worth looking
// at, so that dialog is closed (as its own button does; Streamlit then leaves it closed) and a mark says it instead.

const AFTER_MS = 1500;
const DIALOG = '[data-testid="stDialog"]';

export function markOffline(channel) {
  const mark = document.createElement("div");
  mark.className = "babysit-offline babysit-offline-page";
  mark.setAttribute("role", "status");
  document.body.append(mark);
  const dialogs = new MutationObserver(dismiss);
  let timer = null;
  channel.onConnection((connected) => {
    clearTimeout(timer);
    dialogs.disconnect();
    if (connected) {
      mark.textContent = "";
      return;
    }
    dialogs.observe(document.body, { childList: true, subtree: true });
    timer = setTimeout(() => (mark.textContent = "Disconnected from babysit: reconnecting…"), AFTER_MS);
  });
}

function dismiss() {
  document.querySelector(`${DIALOG} button[aria-label="Close"]`)?.click();
}
