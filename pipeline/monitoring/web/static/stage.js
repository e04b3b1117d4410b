// The large picture: one view, or before and after on both sides of a line, drawn from one stream onto a canvas.

import { LiveStream } from "./live.js";

// What goes over WebRTC; other sound needs Media Source.
const PEER_SOUNDS = ["opus", "pcm_alaw", "pcm_mulaw"];

export class Stage {
  /**
   * @param {string} camera its name
   * @param {(live: boolean) => void} onLive
   * @param {boolean} peer whether to try WebRTC
   */
  constructor(camera, onLive, peer) {
    this.camera = camera;
    this.peer = peer;
    this.onLive = onLive;
    this.canvas = document.getElementById("picture");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.split = document.getElementById("split");
    this.view = "pair";
    this.wanted = false;
    this.sound = null;
    this.split.addEventListener("input", () => this.describe());
    this.split.addEventListener("keydown", (event) => this.key(event));
    // Fingers may take the line anywhere, and not only where a browser thinks that the slider's thumb is.
    this.split.addEventListener("pointerdown", (event) => {
      this.split.setPointerCapture(event.pointerId);
      this.point(event);
    });
    this.split.addEventListener("pointermove", (event) => {
      if (this.split.hasPointerCapture(event.pointerId)) {
        this.point(event);
      }
    });
    this.describe();
  }

  /** Show a view from now on. */
  show(view) {
    this.view = view;
    this.restart();
  }

  /** Have sound of a codec heard from now on; null: none. */
  listen(codec) {
    if (codec !== this.sound) {
      this.sound = codec;
      this.restart();
    }
  }

  /** Go on, or stop, which fetches nothing. */
  run(wanted) {
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      this.restart();
    }
  }

  restart() {
    this.stream?.stop();
    this.stream = null;
    this.source = null;
    if (!this.wanted) {
      return;
    }
    this.stream = new LiveStream(
      this.camera,
      this.view,
      (element) => {
        this.source = element;
        this.follow(element);
      },
      (live) => this.onLive(live),
      this.peer && (!this.sound || PEER_SOUNDS.includes(this.sound)),
      Boolean(this.sound),
    );
  }

  /** Draw each picture that comes. */
  follow(element) {
    const turn = () => {
      if (this.source !== element) {
        return;
      }
      this.draw();
      wait();
    };
    const wait = () => {
      if (element.requestVideoFrameCallback) {
        element.requestVideoFrameCallback(turn);
      } else {
        requestAnimationFrame(turn);
      }
    };
    wait();
  }

  draw() {
    const { source, canvas, context, view } = this;
    const wide = source?.videoWidth ?? source?.naturalWidth;
    const high = source?.videoHeight ?? source?.naturalHeight;
    if (!wide || !high) {
      return;
    }
    const pair = view === "pair";
    const width = pair ? wide / 2 : wide;
    if (canvas.width !== width || canvas.height !== high) {
      canvas.width = width;
      canvas.height = high;
      canvas.parentElement.parentElement.style.setProperty("--ratio", width / high);
    }
    if (!pair) {
      context.drawImage(source, 0, 0);
      return;
    }
    const at = Math.round((width * this.split.value) / 100);
    if (at > 0) {
      context.drawImage(source, 0, 0, at, high, 0, 0, at, high);
    }
    if (at < width) {
      context.drawImage(source, width + at, 0, width - at, high, at, 0, width - at, high);
    }
  }

  point(event) {
    const box = this.split.getBoundingClientRect();
    this.split.value = (100 * (event.clientX - box.left)) / box.width;
    this.describe();
  }

  key(event) {
    const steps = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10 };
    if (event.key in steps) {
      event.preventDefault();
      this.split.value = Number(this.split.value) + steps[event.key];
      this.describe();
    }
  }

  /** Draw the line where it is, and say so. */
  describe() {
    const night = Math.round(this.split.value);
    this.split.setAttribute("aria-valuetext", `${night} % night, ${100 - night} % day`);
    this.split.parentElement.style.setProperty("--split", `${this.split.value}%`);
    this.draw();
  }
}
