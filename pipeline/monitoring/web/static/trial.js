// Adding a camera: an address is tried, and what came of it is shown, with the lines to paste.

import { make, postJson, root, say } from "./server.js";

/** The address with its password left out, which belongs into the environment. */
export function withoutPassword(url) {
  return url.replace(/^([a-z]+:\/\/[^:@/]+):.*@/i, "$1:${CAMERA_PASSWORD}@");
}

function lines(url, ends) {
  const shown = withoutPassword(url);
  const yaml = ["  - name: new_camera", `    url: "${shown}"`];
  if (ends) {
    yaml.push("    every_s: 2            # if it is one picture; leave it out for a clip");
  }
  yaml.push("    outputs:", "      - out/{name}/%Y%m%d-%H%M%S.mp4");
  if (shown !== url) {
    yaml.push("", "# Put the password into the environment: CAMERA_PASSWORD=…");
  }
  return yaml.join("\n");
}

const form = document.getElementById("try");
const said = document.getElementById("tried");
const shown = document.getElementById("tried-picture");
const paste = document.getElementById("tried-paste");

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const url = document.getElementById("try-url").value.trim();
  const button = form.querySelector("button");
  button.disabled = true;
  said.className = "";
  say(said, "Trying it …");
  shown.hidden = paste.hidden = true;
  try {
    const result = await postJson(`${root}api/try`, { url });
    if (result.ok) {
      say(said, `It shows ${result.width}×${result.height} after ${result.seconds} s. Add these lines below cameras: and reload (SIGHUP).`);
      const data = Uint8Array.from(atob(result.jpeg), (letter) => letter.charCodeAt(0));
      const address = URL.createObjectURL(new Blob([data], { type: "image/jpeg" }));
      shown.onload = () => URL.revokeObjectURL(address);
      shown.src = address;
      shown.hidden = false;
      paste.replaceChildren(make("code", { textContent: lines(url, result.ends) }));
      paste.hidden = false;
    } else {
      said.className = "bad";
      say(said, `${result.sentence}${/[.?!]$/.test(result.sentence) ? "" : "."} ${result.advice}`);
    }
  } catch (error) {
    said.className = "bad";
    say(said, error.message);
  }
  button.disabled = false;
});
