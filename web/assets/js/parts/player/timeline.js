// The timeline below the player: pictures along it, how loud it is, and where one is. A native
// range on top of a drawing, so that keys, touch and screen readers work as they know it.
export class Timeline {
  constructor(root, video) {
    this.root = root;
    this.video = video;
    [this.strip, this.range, this.tip] = root.children;
    this.stop = new AbortController();
    const on = (target, names, act) => {
      for (const name of names.split(" ")) target.addEventListener(name, act, { signal: this.stop.signal });
    };
    on(video, "play pause seeked timeupdate loadedmetadata ratechange", () => this.tick());
    on(this.range, "input", () => this.seek(Number(this.range.value)));
    on(this.range, "pointerdown", (event) => this.grab(event));
    on(this.range, "pointermove", (event) => this.hover(event));
    on(this.range, "pointerup pointercancel", () => (this.held = false));
    on(this.range, "pointerleave blur", () => this.held || this.hide());
    on(this.range, "focus", () => this.range.matches(":focus-visible") && this.point(this.at));
    on(this.range, "keyup", () => this.point(this.at));
    on(matchMedia("(prefers-color-scheme: dark)"), "change", () => this.draw());
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(root);
  }

  end() {
    this.stop.abort();
    this.resized.disconnect();
  }

  get length() {
    return this.video.duration || this.playing?.duration_s || 0;
  }

  get at() {
    return this.sought ?? this.video.currentTime;
  }

  /** Takes what there is to draw; loads what is new. */
  show(playing) {
    const before = this.playing;
    this.playing = playing;
    const { storyboard, waveform, bare } = playing;
    this.root.classList.toggle("bare", bare);
    if (storyboard && storyboard.url !== before?.storyboard?.url) {
      const tiles = new Image();
      tiles.onload = () => {
        this.tiles = tiles;
        this.draw();
      };
      tiles.src = storyboard.url;
    }
    if (waveform && waveform !== before?.waveform) this.listen(waveform);
    this.tick();
  }

  async listen(url) {
    const answer = await fetch(url).catch(() => null);
    if (!answer?.ok) return; // the pictures alone, then
    this.sound = await answer.json();
    this.draw();
  }

  // Moving

  grab(event) {
    if (event.button) return;
    this.held = true;
    this.range.setPointerCapture(event.pointerId);
    this.hover(event);
  }

  hover(event) {
    const box = this.range.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    if (this.held) this.seek(part * this.length);
    this.point(part * this.length);
  }

  /** Go there; while the player is still busy with the last place, only the newest counts. */
  seek(to) {
    this.sought = to;
    if (!this.video.seeking) {
      this.video.currentTime = to;
      this.going = to;
    }
    this.place();
  }

  tick() {
    if (this.sought !== undefined && !this.video.seeking) {
      if (this.sought === this.going) this.sought = undefined;
      else this.seek(this.sought);
    }
    this.place();
    if (!this.video.paused && !this.frame) {
      this.frame = requestAnimationFrame(() => {
        this.frame = undefined;
        if (this.root.isConnected) this.tick();
      });
    }
  }

  place() {
    this.range.max = this.length;
    this.range.value = this.at;
    const text = `${clock(this.at)} of ${clock(this.length)}`;
    if (text !== this.told) this.range.setAttribute("aria-valuetext", (this.told = text));
    const column = Math.round((this.at / this.length) * this.strip.width);
    if (column !== this.column) this.draw();
  }

  /** The picture and the time of a moment, above its place. */
  point(at) {
    const { storyboard } = this.playing;
    const [canvas, words] = this.tip.children;
    canvas.hidden = !(storyboard && this.tiles);
    if (!canvas.hidden) {
      const { width, height } = storyboard;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      canvas.getContext("2d").drawImage(this.tiles, ...this.tile(at), 0, 0, width, height);
    }
    words.textContent = clock(at);
    this.tip.hidden = false;
    const room = this.root.clientWidth - this.tip.offsetWidth;
    const left = (at / this.length) * this.root.clientWidth - this.tip.offsetWidth / 2;
    this.tip.style.setProperty("inset-inline-start", `${Math.max(0, Math.min(room, left))}px`);
  }

  hide() {
    this.tip.hidden = true;
  }

  /** Where the tile of a moment is in the storyboard: x, y, width, height. */
  tile(at) {
    const { columns, count, width, height, every_s } = this.playing.storyboard;
    const n = Math.max(0, Math.min(count - 1, Math.floor(at / every_s)));
    return [(n % columns) * width, Math.floor(n / columns) * height, width, height];
  }

  // Drawing

  draw() {
    const { strip } = this;
    const scale = devicePixelRatio;
    const width = Math.round(strip.clientWidth * scale);
    const height = Math.round(strip.clientHeight * scale);
    if (!width || !this.playing) return;
    if (strip.width !== width || strip.height !== height) Object.assign(strip, { width, height });
    this.column = Math.round((this.at / this.length) * width) || 0;
    const pen = strip.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const bars = this.sound ? (this.tiles ? Math.round(height * 0.4) : height) : 0;
    if (this.tiles) this.drawTiles(pen, width, height - bars);
    if (bars) this.drawSound(pen, width, height - bars, bars, scale);
    if (!bars && !this.tiles) this.drawLine(pen, width, height, scale);
    this.root.dataset.shows = [this.tiles && "pictures", this.sound && "sound"].filter(Boolean).join(" ");
  }

  drawTiles(pen, width, height) {
    const { width: w, height: h } = this.playing.storyboard;
    const each = (height * w) / h;
    for (let x = 0; x < width; x += each) {
      const [left, top] = this.tile(((x + each / 2) / width) * this.length);
      const part = Math.min(each, width - x);
      pen.drawImage(this.tiles, left, top, (w * part) / each, h, x, 0, part, height);
    }
    pen.fillStyle = this.colour("--veil");
    pen.fillRect(this.column, 0, width - this.column, height);
  }

  drawSound(pen, width, top, height, scale) {
    const { peaks, peaks_per_s: rate } = this.sound;
    const step = 3 * scale;
    const [gone, ahead] = [this.colour("--accent"), this.colour("--control")];
    for (let x = 0; x < width; x += step) {
      const from = Math.floor((x / width) * this.length * rate);
      const to = Math.max(from + 1, Math.floor(((x + step) / width) * this.length * rate));
      let most = 0;
      for (let n = from; n < to && n < peaks.length; n += 1) most = Math.max(most, peaks[n]);
      const tall = Math.max(scale, (most / 100) * (height - 4 * scale));
      pen.fillStyle = x < this.column ? gone : ahead;
      pen.fillRect(x, top + (height - tall) / 2, 2 * scale, tall);
    }
  }

  drawLine(pen, width, height, scale) {
    for (const [name, long] of [["--line", width], ["--accent", this.column]]) {
      pen.fillStyle = this.colour(name);
      pen.fillRect(0, height / 2 - 2 * scale, long, 4 * scale);
    }
  }

  /** A colour of the theme, as the page shows it now. */
  colour(name) {
    this.strip.style.setProperty("color", `var(${name})`);
    return getComputedStyle(this.strip).color;
  }
}

export function clock(seconds) {
  const s = Math.max(0, Math.floor(seconds || 0));
  const rest = `${String(Math.floor(s / 60) % 60).padStart(s < 3600 ? 1 : 2, "0")}:${String(s % 60).padStart(2, "0")}`;
  return s < 3600 ? rest : `${Math.floor(s / 3600)}:${rest}`;
}
