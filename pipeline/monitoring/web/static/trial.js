// Adding a camera: an address is tried, and what came of it is shown. Then it is added, or the lines to paste are shown.

import { getJson, make, postJson, root, say } from "./server.js";

/** The address with its password left out, which belongs into the environment. */
export function withoutPassword(url) {
  return url.replace(/^([a-z]+:\/\/[^:@/]+):.*@/i, "$1:${CAMERA_PASSWORD}@");
}

function lines(url, every) {
  const shown = withoutPassword(url);
  const yaml = ["  - name: new_camera", `    url: "${shown}"`];
  if (every) {
    yaml.push(`    every_s: ${every}`);
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
const add = document.getElementById("add");
const added = document.getElementById("added");
let found = null; // the address that was tried last, if it shows something, and how often it is to be fetched

/** Offer to add what was found; where the server's file cannot be changed, say why, with the lines to paste. */
async function offer(url, every) {
  found = { url, every };
  const { may_add: may, because } = await getJson(`${root}api/add`);
  add.hidden = !may;
  if (!may) {
    say(added, `It cannot be added from here: ${because}. Add these lines below cameras: and reload (SIGHUP).`);
    paste.replaceChildren(make("code", { textContent: lines(url, every) }));
    paste.hidden = false;
  }
}

add?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = add.querySelector("button");
  button.disabled = true;
  added.className = "";
  say(added, "Adding it …");
  const camera = { name: document.getElementById("add-name").value.trim(), url: found.url };
  camera.record = document.getElementById("add-record").checked;
  if (found.every) {
    camera.every_s = found.every;
  }
  try {
    const done = await postJson(`${root}api/add`, camera);
    const kept = done.secrets.length ? ` Its password is in ${done.secrets.join(", ")}.` : "";
    say(added, `${done.added} was added to ${done.file} and is being opened. What the file was before is in ${done.backup}.${kept}`);
    add.hidden = true;
  } catch (error) {
    added.className = "bad";
    say(added, error.message);
  }
  button.disabled = false;
});

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const url = document.getElementById("try-url").value.trim();
  const button = form.querySelector("button");
  button.disabled = true;
  said.className = "";
  say(said, "Trying it …");
  say(added, "");
  shown.hidden = paste.hidden = add.hidden = true;
  try {
    const result = await postJson(`${root}api/try`, { url });
    if (result.ok) {
      say(said, `It shows ${result.width}×${result.height} after ${result.seconds} s.`);
      const data = Uint8Array.from(atob(result.jpeg), (letter) => letter.charCodeAt(0));
      const address = URL.createObjectURL(new Blob([data], { type: "image/jpeg" }));
      shown.onload = () => URL.revokeObjectURL(address);
      shown.src = address;
      shown.hidden = false;
      await offer(url, result.every_s);
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
