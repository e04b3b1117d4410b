// A camera's live stream: fragmented MP4 over a WebSocket into Media Source, or else JPEGs.

import { root } from "./server.js";

// Seconds of pictures that are kept behind what is shown.
const KEPT = 4;
// Seconds that the picture may be behind the newest one; further behind, it is played faster, and then skipped to.
const AIM = 0.05;
const BEHIND = 0.18;
const LOST = 1.5;
// Seconds between two skips: each takes decoding everything since the last key frame, which a slow machine feels.
const SKIP = 4;

const Source = window.ManagedMediaSource ?? window.MediaSource;

export class LiveStream {
  /**
   * @param {string} camera its name
   * @param {string} view day, night or pair
   * @param {(element: HTMLVideoElement | HTMLImageElement) => void} onElement called with what shows it, anew each time
   * @param {(live: boolean) => void} onLive called when pictures come, and when they no longer do
   */
  constructor(camera, view, onElement, onLive = () => {}) {
    this.camera = camera;
    this.view = view;
    this.onElement = onElement;
    this.onLive = onLive;
    this.failures = 0;
    this.form = Source ? "socket" : "jpeg";
    this.stopped = false;
    this.connect();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.close();
  }

  close() {
    this.socket?.close();
    this.socket = null;
    this.buffer = null;
    this.queue = [];
    this.setLive(false);
    const element = this.element;
    this.element = null;
    if (element) {
      element.removeAttribute("src");
      if (element instanceof HTMLVideoElement) {
        element.load(); // lets go of the decoder
      }
    }
    if (this.address) {
      URL.revokeObjectURL(this.address);
      this.address = null;
    }
  }

  setLive(live) {
    if (live !== this.live) {
      this.live = live;
      this.onLive(live);
    }
  }

  connect() {
    this.close();
    if (this.form === "jpeg") {
      this.showJpegs();
      return;
    }
    const path = `${root}live/${this.camera}?view=${this.view}`;
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (message) => {
      if (this.socket !== socket) {
        return;
      }
      if (typeof message.data === "string") {
        this.begin(JSON.parse(message.data).type);
      } else {
        this.take(message.data);
      }
    };
    socket.onclose = () => {
      if (this.socket === socket) {
        this.again();
      }
    };
    this.socket = socket;
  }

  /** Connect anew, the later the more often it failed. */
  again() {
    if (this.stopped) {
      return;
    }
    this.close();
    const seconds = Math.min(0.3 * 2 ** this.failures, 8);
    this.failures += 1;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), seconds * 1000);
  }

  begin(type) {
    if (!Source.isTypeSupported(type)) {
      this.form = "jpeg";
      this.connect();
      return;
    }
    const video = document.createElement("video");
    video.muted = true;
    video.playsInline = true;
    video.disableRemotePlayback = true;
    const source = new Source();
    source.addEventListener("sourceopen", () => {
      if (this.element !== video) {
        return;
      }
      this.buffer = source.addSourceBuffer(type);
      this.buffer.addEventListener("updateend", () => this.feed());
      this.feed();
    });
    video.addEventListener("error", () => {
      if (this.element === video) {
        this.again();
      }
    });
    video.addEventListener("timeupdate", () => this.setLive(true), { once: true });
    this.element = video;
    this.queue = [];
    this.address = URL.createObjectURL(source);
    video.src = this.address;
    this.onElement(video);
  }

  take(piece) {
    this.queue.push(piece);
    this.feed();
  }

  /** Give the buffer what waits, and keep the picture near the newest. */
  feed() {
    const { buffer, element: video } = this;
    if (!buffer || buffer.updating || !video) {
      return;
    }
    try {
      const ranges = buffer.buffered;
      if (ranges.length) {
        this.follow(video, ranges);
        if (video.currentTime - ranges.start(0) > 2 * KEPT) {
          buffer.remove(0, video.currentTime - KEPT);
          return;
        }
      }
      if (this.queue.length) {
        const pieces = this.queue;
        this.queue = [];
        buffer.appendBuffer(pieces.length === 1 ? pieces[0] : joined(pieces));
      }
    } catch (error) {
      console.debug(error);
      this.again();
    }
  }

  follow(video, ranges) {
    const newest = ranges.end(ranges.length - 1);
    const lag = newest - video.currentTime;
    const start = ranges.start(ranges.length - 1);
    const now = performance.now() / 1000;
    if (video.currentTime < start || (lag > LOST && now - (this.skipped ?? 0) > SKIP)) {
      video.currentTime = Math.max(newest - AIM, start);
      this.skipped = now;
    }
    video.playbackRate = lag > BEHIND ? 1.4 : lag > 1.5 * AIM ? 1.15 : 1;
    if (video.paused) {
      video.play().catch((error) => console.debug(error));
    }
    this.failures = 0;
  }

  showJpegs() {
    const image = document.createElement("img");
    image.alt = "";
    image.onload = () => {
      this.failures = 0;
      this.setLive(true);
    };
    image.onerror = () => {
      if (this.element === image) {
        this.again();
      }
    };
    this.element = image;
    this.onElement(image);
    image.src = `${root}live/${this.camera}.mjpeg?view=${this.view}`;
  }
}

function joined(pieces) {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(new Uint8Array(piece), at);
    at += piece.byteLength;
  }
  return whole;
}
