// A camera's live stream: over WebRTC where that is wanted and works, else as fragmented MP4 over a WebSocket into Media
// Source, or else as JPEGs.

import { root } from "./server.js";

// Seconds of pictures that are kept behind what is shown.
const KEPT = 4;
// Seconds that the picture may be behind the newest one; further behind, it is played faster, and then skipped to.
const AIM = 0.05;
const BEHIND = 0.18;
const LOST = 1.5;
// Seconds between two skips: each takes decoding everything since the last key frame, which a slow machine feels.
const SKIP = 4;
// Seconds within which the first picture must come over WebRTC; where UDP does not come through, none ever does.
const PEER = 4;

const Source = window.ManagedMediaSource ?? window.MediaSource;

export class LiveStream {
  /**
   * @param {string} camera its name
   * @param {string} view day, night or pair
   * @param {(element: HTMLVideoElement | HTMLImageElement) => void} onElement called with what shows it, anew each time
   * @param {(live: boolean) => void} onLive called when pictures come, and when they no longer do
   * @param {boolean} peer whether to try WebRTC
   * @param {boolean} sound whether the camera's sound is to be heard
   */
  constructor(camera, view, onElement, onLive = () => {}, peer = false, sound = false) {
    this.camera = camera;
    this.view = view;
    this.onElement = onElement;
    this.onLive = onLive;
    this.sound = sound;
    this.failures = 0;
    this.form = Source ? "socket" : "jpeg";
    this.peerFirst = peer && Boolean(window.RTCPeerConnection);
    this.stopped = false;
    this.connect();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.close();
  }

  close() {
    const { socket } = this;
    if (socket?.readyState === WebSocket.CONNECTING) {
      socket.onopen = () => socket.close(); // before, browsers would call it an error
    } else {
      socket?.close();
    }
    this.socket = null;
    this.peer?.close();
    this.peer = null;
    this.buffer = null;
    this.queue = [];
    this.setLive(false);
    const element = this.element;
    this.element = null;
    if (element) {
      element.removeAttribute("src");
      element.srcObject = null;
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
    if (this.peerFirst) {
      this.connectPeer();
      return;
    }
    if (this.form === "jpeg") {
      this.showJpegs();
      return;
    }
    const path = `${root}live/${this.camera}?${this.query()}`;
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

  query() {
    return `view=${this.view}&sound=${this.sound ? "yes" : "no"}`;
  }

  /** Watch over WebRTC (WHEP); in another way from then on where no picture comes. */
  async connectPeer() {
    const peer = new RTCPeerConnection();
    this.peer = peer;
    const giveUp = () => {
      if (this.peer === peer) {
        this.peerFirst = false;
        this.connect();
      }
    };
    this.timer = setTimeout(giveUp, PEER * 1000);
    const stream = new MediaStream();
    peer.ontrack = ({ receiver, track }) => {
      stream.addTrack(track);
      if (track.kind === "audio") {
        return;
      }
      receiver.jitterBufferTarget = 0; // milliseconds: a camera's picture is to be new rather than smooth
      const video = this.makeVideo(() => {
        clearTimeout(this.timer);
        this.failures = 0;
      });
      video.srcObject = stream;
      video.play().catch((error) => console.debug(error));
      this.onElement(video);
      receiver.transport.onstatechange = () => {
        if (this.peer === peer && receiver.transport.state === "closed") {
          this.again(); // the server ended it
        }
      };
    };
    peer.onconnectionstatechange = () => {
      if (this.peer === peer && this.live && ["disconnected", "failed"].includes(peer.connectionState)) {
        this.again();
      }
    };
    try {
      peer.addTransceiver("video", { direction: "recvonly" });
      if (this.sound) {
        peer.addTransceiver("audio", { direction: "recvonly" });
      }
      await peer.setLocalDescription();
      const answer = await fetch(`${root}live/${this.camera}/whep?${this.query()}`, {
        method: "POST",
        headers: { "Content-Type": "application/sdp" },
        body: peer.localDescription.sdp,
      });
      if (!answer.ok) {
        throw new Error(await answer.text());
      }
      await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    } catch (error) {
      console.debug(error);
      giveUp();
    }
  }

  makeVideo(onFirst = () => {}) {
    const video = document.createElement("video");
    video.muted = !this.sound;
    video.playsInline = true;
    video.disableRemotePlayback = true;
    video.addEventListener("error", () => {
      if (this.element === video) {
        this.again();
      }
    });
    video.addEventListener(
      "timeupdate",
      () => {
        if (this.element === video) {
          onFirst();
          this.setLive(true);
        }
      },
      { once: true },
    );
    this.element = video;
    return video;
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
      if (this.sound) {
        this.sound = false; // another browser may play it, and the picture goes on
      } else {
        this.form = "jpeg";
      }
      this.connect();
      return;
    }
    const video = this.makeVideo();
    const source = new Source();
    source.addEventListener("sourceopen", () => {
      if (this.element !== video) {
        return;
      }
      this.buffer = source.addSourceBuffer(type);
      this.buffer.addEventListener("updateend", () => this.feed());
      this.feed();
    });
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
