// What to write into other programs to have this camera there.

import { make, say } from "./server.js";

function texts(name, token, webrtc) {
  const key = token ? "?token=TOKEN" : "";
  const and = token ? "&token=TOKEN" : "";
  const place = `${location.host}/live/${name}/whep${key}`;
  const live = `${location.origin}/live/${name}.ts${key}`;
  const mp4 = `${location.origin}/live/${name}.mp4${key}`;
  const still = `${location.origin}/snapshot/${name}.jpg?view=day${and}`;
  return {
    Frigate: `cameras:
  ${name}:
    ffmpeg:
      inputs:
        - path: "${live}"
          input_args: -fflags +genpts+discardcorrupt
          roles: [detect, record]`,
    go2rtc: `streams:
  ${name}: "${live}"`,
    MediaMTX: `paths:
  ${name}:
    runOnInit: ffmpeg -i "${live}" -c copy -f rtsp rtsp://127.0.0.1:$RTSP_PORT/$MTX_PATH
    runOnInitRestart: yes`,
    "Home Assistant": `# Settings > Devices & services > Add integration > Generic Camera
Still image URL:    ${still}
Stream source URL:  ${mp4}`,
    "ffplay, VLC": `ffplay -fflags nobuffer "${live}"
vlc "${live}"`,
    ...(webrtc && {
      "WebRTC (WHEP)": `# For players that speak WHEP; UDP has to come through to them.
${location.protocol}//${place}
# go2rtc
streams:
  ${name}: "webrtc:${location.protocol}//${place}"
# MediaMTX
paths:
  ${name}:
    source: "${location.protocol === "https:" ? "wheps" : "whep"}://${place}"`,
    }),
  };
}

/** Fill `place` with one piece of text for each program, to be copied. */
export function showSnippets(place, name) {
  for (const [program, text] of Object.entries(texts(name, place.dataset.token, place.dataset.webrtc))) {
    const copy = make("button", { type: "button", textContent: "Copy" });
    copy.setAttribute("aria-label", `Copy for ${program}`);
    const done = make("span", { className: "dim" });
    done.setAttribute("role", "status");
    const code = make("code", { textContent: text });
    const block = make("pre", { tabIndex: 0 }, code);
    block.setAttribute("role", "region");
    block.setAttribute("aria-label", `Configuration for ${program}`);
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        say(done, "Copied.");
      } catch {
        getSelection().selectAllChildren(code); // pages that came over plain HTTP may not copy by themselves
        say(done, "Marked; copy it with Ctrl+C.");
      }
    });
    const row = make("p", { className: "tools" }, copy, done);
    place.append(make("details", {}, make("summary", { textContent: program }), block, row));
  }
}
