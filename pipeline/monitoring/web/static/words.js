// A camera's state in words.

const STATES = {
  starting: "starting",
  playing: "live",
  retrying: "away, tried again",
  finished: "finished",
  failed: "failed",
  stopped: "stopped",
};

export function troubled(camera) {
  return (
    ["retrying", "failed"].includes(camera.state) ||
    camera.outputs_in_trouble.length > 0 ||
    camera.model_fits === false ||
    camera.engine === "failed"
  );
}

/** Such as "live, night, translated". */
export function inWords(camera) {
  const words = [STATES[camera.state] ?? camera.state];
  if (camera.reason) {
    words[0] += ` (${camera.reason.replaceAll("_", " ")})`;
  }
  if (camera.state !== "playing") {
    return words.join(", ");
  }
  if (camera.night !== null) {
    words.push(camera.night ? "night" : "day");
  }
  words.push(shownAs(camera));
  return words.join(", ");
}

function shownAs(camera) {
  if (camera.translate === "never" || camera.engine === null) {
    return "not translated";
  }
  if (camera.brightened_because) {
    return "brightened";
  }
  if (camera.translate === "always" || camera.night) {
    return camera.engine === "ready" ? "translated" : "brightened";
  }
  return "passed as it is";
}

/** Pictures that went to the outputs since the start. */
export function pictures(camera) {
  return camera.translated + camera.passed + camera.brightened;
}

export function dropped(camera) {
  return Object.values(camera.dropped).reduce((sum, count) => sum + count, 0);
}

/** Pictures a second between two looks, or null. */
export function rate(before, now) {
  const seconds = before ? (now.at - before.at) / 1000 : 0;
  const count = before ? pictures(now.camera) - pictures(before.camera) : -1;
  return seconds > 0 && count >= 0 ? count / seconds : null;
}

/** A moment: its time of day, and its date where that is not today. */
export function moment(date) {
  return date.toDateString() === new Date().toDateString() ? date.toLocaleTimeString() : date.toLocaleString();
}

export function bytes(count) {
  return count < 1e6 ? `${Math.ceil(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}
