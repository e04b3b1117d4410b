// Asking the server, and only while somebody can see the answer.

/** The path below which everything here is. A proxy such as Home Assistant's Ingress puts one of its own before it. */
export const root = new URL("../", import.meta.url).pathname;

// A token in the address is in a cookie by now, and nobody need read it over a shoulder.
if (new URLSearchParams(location.search).has("token")) {
  history.replaceState(null, "", location.pathname);
}

const logout = document.getElementById("logout");
logout?.addEventListener("submit", async (event) => {
  event.preventDefault();
  await fetch(`${root}logout`, { method: "POST", redirect: "manual" });
  location.assign(root);
});

/** What is at `path`, as JSON. Throws with the server's sentence. */
export async function getJson(path) {
  return answer(await fetch(path, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(8000) }));
}

/** The answer to a change, as JSON. Throws with the server's sentence. */
export async function postJson(path, body) {
  const headers = { "content-type": "application/json" };
  const signal = AbortSignal.timeout(8000);
  return answer(await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal }));
}

async function answer(response) {
  if (response.status === 401) {
    location.reload(); // which asks for the token
  }
  if (!response.ok) {
    throw new Error((await response.text()).trim());
  }
  return response.json();
}

/** Call `work` now (`first` is when that is done) and every so many seconds, but only while the page is in sight. */
export function repeat(seconds, work) {
  let timer = 0;
  let busy = false;
  async function turn() {
    clearTimeout(timer);
    if (document.hidden || busy) {
      return;
    }
    busy = true;
    try {
      await work();
    } catch (error) {
      console.debug(error);
    }
    busy = false;
    timer = setTimeout(turn, seconds * 1000);
  }
  document.addEventListener("visibilitychange", turn);
  turn.first = turn();
  return turn;
}

/** Change text only where it is another, so that screen readers say nothing twice. */
export function say(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** An element with its properties and children. */
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}
