// The page of one camera.

import { Plot } from "./plot.js";
import { getJson, make, postJson, repeat, root, say } from "./server.js";
import { showSnippets } from "./snippets.js";
import { Stage } from "./stage.js";
import { bytes, dropped, inWords, moment, pictures, rate } from "./words.js";

const LOOK = 2;
const TRUST = 0.7;
const SLOW = 20;

const by = (id) => document.getElementById(id);
const name = by("camera").dataset.camera;
const api = `${root}api/cameras/${name}`;

const stage = new Stage(
  name,
  (live) => {
    by("veil").hidden = live;
  },
  Boolean(by("camera").dataset.webrtc),
);
const plot = new Plot(by("plot"));
let before = null;
let playing = false;
let heard = null;

// The picture.

function chosen(set) {
  return by(set).querySelector("input:checked")?.value;
}

function paused() {
  return by("pause").getAttribute("aria-pressed") === "true";
}

function run() {
  stage.run(playing && !document.hidden && !paused());
}

function show() {
  const view = chosen("view");
  for (const id of ["split", "tag-night", "tag-day"]) {
    by(id).hidden = view !== "pair";
  }
  by("frame").className = `frame ${view}`;
  by("snapshot").href = `${root}snapshot/${name}.jpg?view=${view}`;
  by("snapshot").download = `${name}-${view}.jpg`;
  stage.show(view);
}

by("view").addEventListener("change", show);
by("pause").addEventListener("click", () => {
  by("pause").setAttribute("aria-pressed", String(!paused()));
  say(by("pause"), paused() ? "Play" : "Pause");
  run();
});
by("sound").addEventListener("click", () => {
  const on = by("sound").getAttribute("aria-pressed") !== "true";
  by("sound").setAttribute("aria-pressed", String(on));
  stage.listen(on ? heard : null);
});
by("full").addEventListener("click", () => {
  if (document.fullscreenElement) {
    document.exitFullscreen();
  } else {
    by("full-place").requestFullscreen?.();
  }
});
document.addEventListener("visibilitychange", run);
show();
run();

// Where each part of it comes from.

const trust = by("trust");
repeat(TRUST, async () => {
  const on = by("trust-on").checked;
  by("trust-legend").hidden = !on;
  if (!on || paused()) {
    trust.hidden = !on || !trust.src;
    return;
  }
  const response = await fetch(`${api}/trust.png?as=layer`);
  const fault = response.ok ? "" : (await response.text()).trim();
  say(by("trust-fault"), fault);
  by("trust-fault").hidden = !fault;
  trust.hidden = Boolean(fault);
  if (!fault) {
    const address = URL.createObjectURL(await response.blob());
    trust.onload = () => URL.revokeObjectURL(address);
    trust.src = address;
  }
});
by("trust-on").addEventListener("change", () => {
  by("trust-fault").hidden = true;
  by("trust-legend").hidden = !by("trust-on").checked;
  trust.hidden = true;
});

// Its sound, once there is some.

function sound(camera) {
  heard = camera.sound;
  by("sound").hidden = !heard;
  if (by("sound").getAttribute("aria-pressed") === "true") {
    stage.listen(heard);
  }
}

// Its state.

function list(place, told) {
  const sentences = told.map((text) => text.replaceAll(" %", "\u00a0%")); // no line begins with the sign
  const shown = [...place.children].map((item) => item.textContent);
  if (shown.join("\n") !== sentences.join("\n")) {
    place.replaceChildren(...sentences.map((text) => make("li", { textContent: text })));
  }
}

function milliseconds(value) {
  return value === null ? "none yet" : `${Math.round(value)} ms`;
}

function facts(camera, fps) {
  const entries = {
    "Pictures a second": fps === null ? "…" : fps.toFixed(1),
    "Latency, median": milliseconds(camera.latency_p50_ms),
    "Latency, 95 % below": milliseconds(camera.latency_p95_ms),
    "Translated": camera.translated.toLocaleString("en"),
    "Brightened": camera.brightened.toLocaleString("en"),
    "Passed as they were": camera.passed.toLocaleString("en"),
    "Dropped": dropped(camera).toLocaleString("en"),
    ...Object.fromEntries(
      Object.entries(camera.dropped).map(([why, count]) => [`– ${why.replaceAll("_", " ")}`, count.toLocaleString("en")]),
    ),
    "Decoded and encoded by": [camera.decoder, camera.encoder].filter(Boolean).join(", ") || "…",
  };
  by("facts").replaceChildren(
    ...Object.entries(entries).flatMap(([what, value]) => [
      make("dt", { textContent: what }),
      make("dd", { textContent: value }),
    ]),
  );
}

function learning(camera) {
  const learnt = camera.learnt;
  by("learning").hidden = !learnt;
  for (const time of learnt ? ["day", "night"] : []) {
    const known = learnt[time] ?? 0;
    by(`learnt-${time}`).value = known;
    say(by(`learnt-${time}-text`), `${Math.round(known * 100)} %`);
  }
}

const seen = new Map();
function detections(camera) {
  const counts = Object.entries(camera.detections).sort((one, other) => other[1] - one[1]);
  by("no-detections").hidden = counts.length > 0;
  by("detections").hidden = counts.length === 0;
  for (const [label, count] of counts) {
    const last = seen.get(label);
    if (!last || last.count !== count) {
      seen.set(label, { count, at: last ? new Date().toLocaleTimeString() : "before" });
    }
  }
  by("detections").tBodies[0].replaceChildren(
    ...counts.map(([label, count]) =>
      make(
        "tr",
        {},
        Object.assign(make("th", { textContent: label }), { scope: "row" }),
        make("td", { textContent: String(camera.objects?.[label] ?? 0) }),
        make("td", { textContent: count.toLocaleString("en") }),
        make("td", { textContent: seen.get(label).at }),
      ),
    ),
  );
}

function counted(counts) {
  return Object.entries(counts).map(([label, count]) => `${count} ${label}`).join(", ") || "nothing";
}

function zones(camera) {
  const inside = Object.entries(camera.zones ?? {}).map(([zone, counts]) => `${zone}: ${counted(counts)} now`);
  const crossed = Object.entries(camera.lines ?? {}).map(
    ([line, sides]) => `${line}: in ${counted(sides.in)}, out ${counted(sides.out)}`,
  );
  list(by("zones"), [...inside, ...crossed]);
}

function outputs(camera) {
  const sentences = camera.outputs.map((output) => {
    const why = output.reason ? ` (${output.reason.replaceAll("_", " ")}). ${output.advice}` : "";
    return `${output.output}: ${output.state}${why}`;
  });
  list(by("outputs"), sentences.length ? sentences : ["None. The camera can be watched here all the same."]);
}

let changing = false;
by("translate").addEventListener("change", async (event) => {
  changing = true;
  say(by("translate-fault"), "");
  try {
    await postJson(`${api}/translate`, { translate: event.target.value });
  } catch (error) {
    say(by("translate-fault"), error.message);
  }
  changing = false;
  look();
});

function switches(camera) {
  for (const input of by("translate").querySelectorAll("input")) {
    if (!changing) {
      input.checked = input.value === camera.translate;
    }
  }
}

async function refresh() {
  let camera;
  try {
    ({ cameras: [camera] } = await getJson(`${root}api/cameras?name=${name}`));
  } catch (error) {
    say(by("state"), "No answer. Is the program running?");
    by("state").className = "bad";
    throw error;
  }
  if (!camera) {
    say(by("state"), "This camera is no longer configured.");
    return;
  }
  playing = camera.state === "playing" && pictures(camera) > 0;
  run();
  by("veil").hidden = Boolean(stage.stream?.live);
  by("trust-on").disabled = camera.remembered_share === null;
  by("trust-label").title = by("trust-on").disabled ? "Nothing was translated yet, or the model does not tell." : "";
  known = camera.backgrounds;
  const now = { camera, at: performance.now() };
  const fps = rate(before, now);
  say(by("state"), `${inWords(camera)}.`);
  by("state").className = ["retrying", "failed"].includes(camera.state) ? "bad" : "";
  const waits = camera.state === "playing" ? "Waiting for the picture …" : `${inWords(camera)}. ${camera.remarks[0] ?? ""}`;
  say(by("veil"), waits);
  list(by("remarks"), [...(camera.night_doubt ? [`${camera.night_doubt}.`] : []), ...camera.remarks]);
  facts(camera, fps);
  learning(camera);
  detections(camera);
  zones(camera);
  outputs(camera);
  sound(camera);
  switches(camera);
  const seconds = before ? (now.at - before.at) / 1000 : 1;
  const drops = before ? Math.max(0, dropped(camera) - dropped(before.camera)) / seconds : 0;
  plot.add({ at: now.at / 1000, p50: camera.latency_p50_ms, p95: camera.latency_p95_ms, drops });
  before = now;
}
const look = repeat(LOOK, refresh);

// What was recorded, and what is known of the scene.

async function recordings() {
  const found = await getJson(`${api}/recordings`);
  found.recordings.forEach((one) => (one.url = root + one.url.slice(1)));
  const place = by("recordings");
  by("no-recordings").hidden = found.recordings.length > 0;
  say(by("no-recordings"), "None. An output such as out/NAME/%Y%m%d-%H%M%S.mp4 records.");
  const shown = [...place.querySelectorAll("button")].map((button) => button.dataset.url);
  const key = found.recordings.map((one) => one.url + one.bytes).join();
  if (place.dataset.key === key) {
    return;
  }
  place.dataset.key = key;
  const focused = document.activeElement?.dataset?.url;
  // Files of different outputs often have the same names.
  const several = new Set(found.recordings.map((one) => one.output)).size > 1;
  place.replaceChildren(
    ...found.recordings.map((one) => {
      const button = make("button", { type: "button", className: "plain", textContent: one.name });
      button.dataset.url = one.url;
      button.setAttribute("aria-current", String(by("player").getAttribute("src") === one.url));
      button.addEventListener("click", () => play(one.url));
      const until = moment(new Date(one.changed * 1000));
      const about = `until ${until}, ${bytes(one.bytes)}${several ? `, ${one.output}` : ""}`;
      const get = make("a", { href: one.url, download: "", textContent: "Download" });
      get.setAttribute("aria-label", `Download ${one.name}${several ? ` of ${one.output}` : ""}`);
      return make("li", {}, button, make("span", { className: "dim", textContent: about }), get);
    }),
  );
  if (focused && shown.includes(focused)) {
    place.querySelector(`[data-url="${CSS.escape(focused)}"]`)?.focus();
  }
}

function play(url) {
  const player = by("player");
  player.hidden = false;
  player.src = url;
  player.play().catch((error) => console.debug(error));
  for (const button of by("recordings").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.url === url));
  }
}

let known = [];
function backgrounds() {
  for (const image of by("backgrounds").querySelectorAll("img")) {
    const of = image.dataset.of;
    const there = known.includes(of);
    image.hidden = !there;
    say(image.nextElementSibling, there ? `by ${of}` : `by ${of}: not known yet`);
    if (there) {
      image.src = `${api}/background.png?of=${of}&at=${Date.now()}`;
    }
  }
}

await look.first;
repeat(SLOW, recordings);
repeat(3 * SLOW, backgrounds);
showSnippets(by("snippets"), name);
