// The last minutes of a camera's latency and of its dropped frames.

// Seconds that are shown.
const SPAN = 300;
const WIDE = 300;
const HIGH = 90;
const SVG = "http://www.w3.org/2000/svg";

function shape(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  return made;
}

export class Plot {
  constructor(svg) {
    this.svg = svg;
    this.points = [];
    svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH + 12}`);
  }

  /** @param {{at: number, p50: number | null, p95: number | null, drops: number}} point at in seconds, drops a second */
  add(point) {
    this.points.push(point);
    while (this.points[0].at < point.at - SPAN) {
      this.points.shift();
    }
    this.draw(point.at);
  }

  draw(now) {
    const measured = this.points.filter((point) => point.p95 !== null);
    const top = nice(Math.max(100, ...measured.map((point) => point.p95)));
    const most = Math.max(5, ...this.points.map((point) => point.drops));
    const x = (at) => (WIDE * (at - now + SPAN)) / SPAN;
    const y = (milliseconds) => HIGH - (HIGH - 6) * (milliseconds / top);
    const parts = [];
    for (const share of [0.5, 1]) {
      parts.push(shape("line", { class: "rule", x1: 0, x2: WIDE, y1: y(top * share), y2: y(top * share) }));
      const label = shape("text", { class: "scale", x: 2, y: y(top * share) + 8 });
      label.textContent = `${top * share} ms`;
      parts.push(label);
    }
    parts.push(shape("line", { class: "rule base", x1: 0, x2: WIDE, y1: HIGH, y2: HIGH }));
    for (const [at, text, anchor] of [[now - SPAN, "5 min ago", "start"], [now, "now", "end"]]) {
      const label = shape("text", { class: "scale", x: x(at), y: HIGH + 10, "text-anchor": anchor });
      label.textContent = text;
      parts.push(label);
    }
    for (const point of this.points.filter((one) => one.drops > 0)) {
      const high = Math.max(1, ((HIGH - 6) * point.drops) / most);
      parts.push(shape("rect", { class: "drops", x: x(point.at) - 2, y: HIGH - high, width: 2, height: high }));
    }
    for (const kind of ["p95", "p50"]) {
      const line = measured.map((point) => `${x(point.at).toFixed(1)},${y(point[kind]).toFixed(1)}`).join(" ");
      parts.push(shape("polyline", { class: kind, points: line }));
    }
    this.svg.replaceChildren(...parts);
    const last = measured.at(-1);
    const lost = this.points.filter((point) => point.drops > 0).length;
    const latency = last ? `Latency ${Math.round(last.p50)} ms, 95 % below ${Math.round(last.p95)} ms.` : "No latency yet.";
    const drops = lost ? `Frames were dropped in ${lost} of ${this.points.length} looks.` : "No frame was dropped.";
    this.svg.setAttribute("aria-label", `${latency} ${drops}`);
  }
}

/** The next larger of 100, 200, 500, 1000 … */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= value);
}
