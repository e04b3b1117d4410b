// All cameras: live where they are in sight, as far as a browser can, and a picture now and then elsewhere.

import { LiveStream } from "./live.js";
import { getJson, make, repeat, root, say } from "./server.js";
import { inWords, pictures, rate, troubled } from "./words.js";

// Cameras that are live at once; the others in sight are renewed every so many seconds.
const MOST_LIVE = 12;
const RENEW = 3;
const LOOK = 2;

const grid = document.getElementById("grid");
const summary = document.getElementById("summary");
const room = document.getElementById("room");
const find = document.getElementById("find");
const pause = document.getElementById("pause");
const tiles = new Map();
let view = "day";

class Tile {
  constructor(name) {
    this.name = name;
    this.inSight = false;
    this.still = make("img", { alt: "", decoding: "async" });
    this.badge = make("span", { className: "badge" });
    this.words = make("p", { className: "words" });
    this.remark = make("p", { className: "remark", hidden: true });
    this.picture = make("div", { className: "frame" }, this.still, this.badge);
    const link = make("a", { href: `${root}camera/${name}` }, this.picture, make("h2", { textContent: name }), this.words);
    this.element = make("li", { className: "tile" }, link, this.remark);
    this.element.tile = this;
  }

  /** Show a picture that is not live. */
  renew() {
    if (this.loading || !this.hasPicture || this.stream?.live) {
      return;
    }
    this.loading = true;
    const picture = new Image();
    picture.onload = () => {
      this.loading = false;
      this.still.src = picture.src;
      this.element.classList.remove("blank");
    };
    picture.onerror = () => {
      this.loading = false;
      this.element.classList.add("blank");
    };
    picture.src = `${root}snapshot/${this.name}.jpg?view=${view}&width=640&at=${Date.now()}`;
  }

  start() {
    this.stream ??= new LiveStream(
      this.name,
      view,
      (element) => {
        this.moving?.remove();
        this.moving = element;
        element.className = "moving";
        this.still.after(element);
      },
      (live) => this.element.classList.toggle("live", live),
    );
  }

  stop() {
    this.stream?.stop();
    this.stream = null;
    this.moving?.remove();
    this.moving = null;
  }

  tell(camera, at) {
    const fps = rate(this.before, { camera, at });
    this.before = { camera, at };
    const bad = troubled(camera);
    this.element.classList.toggle("bad", bad);
    const numbers = [fps === null ? "" : `${fps.toFixed(fps < 9.95 ? 1 : 0)} fps`];
    if (camera.latency_p50_ms !== null) {
      numbers.push(`${Math.round(camera.latency_p50_ms)} ms`);
    }
    say(this.words, inWords(camera));
    say(this.badge, camera.state === "playing" ? numbers.filter(Boolean).join(" · ") : "");
    const remark = bad ? camera.remarks[0] ?? `In trouble: ${camera.outputs_in_trouble.join(", ")}.` : "";
    say(this.remark, remark);
    this.remark.hidden = !remark;
    this.hasPicture = pictures(camera) > 0;
    this.playing = camera.state === "playing" && this.hasPicture;
    this.element.classList.toggle("blank", !this.hasPicture);
  }
}

const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    entry.target.tile.inSight = entry.isIntersecting;
  }
  show();
}, { threshold: 0.1 });

/** Start and stop what is live. */
function show() {
  let left = document.hidden || paused() ? 0 : MOST_LIVE;
  for (const tile of tiles.values()) {
    const live = tile.inSight && tile.playing && !tile.element.hidden && left > 0;
    left -= live ? 1 : 0;
    if (live) {
      tile.start();
    } else {
      tile.stop();
    }
  }
}

function paused() {
  return pause.getAttribute("aria-pressed") === "true";
}

function filter() {
  const wanted = find.value.trim().toLowerCase();
  for (const tile of tiles.values()) {
    tile.element.hidden = !tile.name.toLowerCase().includes(wanted);
  }
}

async function look() {
  let cameras, told;
  try {
    ({ cameras, more_cameras_text: told } = await getJson(`${root}api/cameras`));
  } catch (error) {
    say(summary, "No answer. Is the program running?");
    summary.className = "bad";
    throw error;
  }
  const at = performance.now();
  const names = new Set(cameras.map((camera) => camera.name));
  for (const [name, tile] of tiles) {
    if (!names.has(name)) {
      tile.stop();
      sight.unobserve(tile.element);
      tile.element.remove();
      tiles.delete(name);
    }
  }
  for (const camera of cameras) {
    let tile = tiles.get(camera.name);
    if (!tile) {
      tile = new Tile(camera.name);
      tiles.set(camera.name, tile);
      grid.append(tile.element);
      sight.observe(tile.element);
    }
    tile.tell(camera, at);
  }
  grid.classList.toggle("many", cameras.length > 12);
  filter();
  show();
  const up = cameras.filter((camera) => camera.up).length;
  const bad = cameras.filter(troubled).map((camera) => camera.name);
  const trouble = bad.length > 4 ? `${bad.slice(0, 3).join(", ")} and ${bad.length - 3} more` : bad.join(", ");
  say(summary, `${up} of ${cameras.length} up.${bad.length ? ` In trouble: ${trouble}.` : ""}`);
  summary.className = bad.length ? "bad" : "";
  room.hidden = !told;
  room.textContent = told ?? "";
  document.title = `${up} of ${cameras.length} cameras up – nightday-stream`;
}

function renew() {
  for (const tile of tiles.values()) {
    if (tile.inSight && !tile.element.hidden && !paused()) {
      tile.renew();
    }
  }
}

document.getElementById("view").addEventListener("change", (event) => {
  view = event.target.value;
  for (const tile of tiles.values()) {
    tile.stop();
  }
  renew();
  show();
});
find.addEventListener("input", () => {
  filter();
  show();
});
pause.addEventListener("click", () => {
  pause.setAttribute("aria-pressed", String(!paused()));
  say(pause, paused() ? "Play" : "Pause");
  show();
});
document.addEventListener("visibilitychange", show);
await repeat(LOOK, look).first;
repeat(RENEW, renew);
setTimeout(renew, 50); // what the observer has found by now
