// The live microphone. Sound waits here, in order, until the server says that it has it: a slow network or machine
// delays answers, and loses none of the sound. The same file is the recorder on the browser's own thread for sound.
const BLOCK = 0.05; // Seconds of sound that are handed over at a time.

// Collects samples of any number of channels, full scale ±1, into blocks of one channel of 16 bit.
class Blocks {
  constructor(rate, hand) {
    Object.assign(this, { hand, block: new Int16Array(Math.round(rate * BLOCK)), filled: 0 });
  }

  add(channels) {
    for (let place = 0; channels.length && place < channels[0].length; place += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[place];
      this.block[this.filled] = Math.max(-32768, Math.min(32767, Math.round((sum / channels.length) * 32768)));
      this.filled += 1;
      if (this.filled === this.block.length) this.rest();
    }
  }

  rest() {
    this.hand(this.block.slice(0, this.filled));
    this.filled = 0;
  }
}

if (typeof AudioWorkletProcessor === "function") {
  registerProcessor(
    "live-recorder",
    class extends AudioWorkletProcessor {
      constructor() {
        super();
        this.blocks = new Blocks(sampleRate, (block) => this.port.postMessage(block));
        this.going = true;
        this.port.onmessage = () => {
          this.going = false;
          this.blocks.rest();
          this.port.postMessage(null);
        };
      }

      process([channels]) {
        if (this.going) this.blocks.add(channels);
        return this.going;
      }
    },
  );
}

const LEAST = 0.25; // Seconds of sound that are worth a request, and
const MOST = 10; // those that one may hold.
const TELL = 5; // Seconds of sound that may wait before the page says so, and
const LONGEST = 45; // before it takes no more.
const PATIENCE = 15000; // Milliseconds that an answer may take, and
const GIVE_UP = 60000; // without any after the end of a recording.
const AWAY = [429, 502, 503, 504]; // The server cannot take sound just now.
const SHORTEST = 0.25; // Seconds that are a recording.
const LEAST_MISSING = 1; // Seconds that the recorder may be behind the clock, looked at after
const WATCH = 3000; // milliseconds.
const FIRST = 10000; // Milliseconds in which a microphone has to begin.
const SHOWN = 30; // Lines of words that stay.

let live = null; // The recording that goes on.

const place = (name) => document.querySelector(`#live-place .live${name}`);
const show = (name, text) => {
  const element = place(name);
  if (element.textContent !== text) element.textContent = text;
  element.hidden = !text;
};
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const seconds = (own) => (own.taken + own.waiting) / own.rate;
const draw = () => {
  const button = document.querySelector("#live-record");
  button.classList.toggle("on", Boolean(live));
  button.disabled = Boolean(live && (live.ending || !live.ready));
  button.textContent = live ? "Stop" : "Record";
};
const request = (own, method, query = "", body = undefined) =>
  fetch(new URL(`studio/live${own.number ? `/${own.number}` : ""}${query}`, document.baseURI), {
    method,
    body,
    credentials: "include",
    headers: body ? { "Content-Type": "application/octet-stream" } : {},
    keepalive: method === "DELETE",
    signal: AbortSignal.timeout ? AbortSignal.timeout(PATIENCE) : undefined,
  });

// The microphone

const listen = async (own) => {
  own.stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const [track] = own.stream.getAudioTracks();
  track.onended = () => end(own, "The microphone has gone: what was recorded until then is kept.");
  const mute = new Promise((_, fail) => setTimeout(() => fail(new DOMException("", silent(own))), FIRST));
  await Promise.race([window.MediaStreamTrackProcessor ? read(own, track) : record(own), mute]);
  own.ready = true;
};
// The thread for sound stands still where a machine has nothing to play sound on.
const silent = ({ context }) => (context && context.state !== "running" ? "no sound output" : "NotReadableError");
// Where a browser offers it: frames wait to be read, however late a busy machine comes to it.
const read = async (own, track) => {
  const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 100 * LONGEST }).readable.getReader();
  let frame = await reader.read();
  if (frame.done) throw new DOMException("", "NotReadableError");
  own.rate = frame.value.sampleRate;
  const blocks = new Blocks(own.rate, (block) => take(own, block));
  const go = async () => {
    for (; !frame.done; frame = await reader.read()) {
      const { value } = frame;
      const channels = Array.from({ length: value.numberOfChannels }, () => new Float32Array(value.numberOfFrames));
      channels.forEach((channel, planeIndex) => value.copyTo(channel, { planeIndex, format: "f32-planar" }));
      value.close();
      blocks.add(channels);
    }
    blocks.rest();
    own.flushed();
  };
  own.flush = () => track.stop();
  go();
};
// Elsewhere the thread for sound records.
const record = async (own) => {
  await own.context.audioWorklet.addModule(import.meta.url);
  own.rate = Math.round(own.context.sampleRate);
  const node = new AudioWorkletNode(own.context, "live-recorder");
  own.flush = () => node.port.postMessage("end");
  const first = new Promise((resolve) => {
    node.port.onmessage = ({ data }) => {
      resolve();
      if (data) take(own, data);
      else own.flushed();
    };
  });
  own.context.createMediaStreamSource(own.stream).connect(node).connect(own.context.destination);
  own.context.onstatechange = () => own.context.state !== "running" && own.context.state !== "closed" && own.context.resume();
  await first;
};
const silence = (own) => {
  if (own.stream) own.stream.getTracks().forEach((track) => Object.assign(track, { onended: null }).stop());
  if (own.context && own.context.state !== "closed") own.context.close();
  if (own.lock) own.lock.then((lock) => lock && lock.release());
  place("-level").style.setProperty("--level", 0);
};
const take = (own, block) => {
  if (live !== own) return;
  const limit = Number(place("").dataset.limit) * own.rate;
  const room = limit - own.taken - own.waiting;
  const kept = block.subarray(0, Math.max(0, room));
  if (!own.began) {
    own.began = own.watched = performance.now() - (1000 * block.length) / own.rate;
    performance.mark("live-began", { startTime: own.began });
  }
  own.queue.push(kept);
  own.waiting += kept.length;
  place("-level").style.setProperty("--level", block.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 32768);
  show("-clock", clock(seconds(own)));
  watch(own);
  if (room <= block.length) end(own, `${clock(limit / own.rate)} are full: the recording has ended.`);
  else if (own.waiting > LONGEST * own.rate) end(own, `The server has taken no sound for ${LONGEST} s: the recording has ended. What waits in this browser is still being sent.`);
  pump(own);
};
// Blocks may come late and all at once: sound is missing only where none of them catches up with the clock.
const watch = (own) => {
  const now = performance.now();
  own.late = Math.min(own.late, (now - own.began) / 1000 - seconds(own));
  if (now - own.watched < WATCH) return;
  if (!own.ending && own.late > own.missing + LEAST_MISSING) {
    own.missing = own.late;
    show("-trouble", `${own.missing.toFixed(0)} s of sound are missing: this device has paused the microphone, or is too busy.`);
  }
  Object.assign(own, { late: Infinity, watched: now });
};

// The way to the server

const joined = (queue, size) => {
  const all = new Int16Array(size);
  let filled = 0;
  for (const block of queue) {
    all.set(block.subarray(0, size - filled), filled);
    filled += Math.min(block.length, size - filled);
    if (filled === size) return all;
  }
  return all;
};
const drop = (own, size) => {
  own.taken += size;
  own.waiting -= size;
  for (let left = size; left > 0; ) {
    const [first] = own.queue;
    if (first.length > left) own.queue[0] = first.subarray(left);
    else own.queue.shift();
    left -= first.length;
  }
};
const wait = (own) => {
  own.delay = Math.min(2000, 2 * (own.delay || 125));
  if (own.waiting > TELL * own.rate && !own.ending) show("-trouble", own.refusal || `${Math.round(own.waiting / own.rate)} s of sound wait in this browser: the network or the machine is slow. None is lost.`);
  return new Promise((resolve) => setTimeout(resolve, own.delay));
};
// Sends what waits; false if it has to be tried again.
const send = async (own) => {
  const body = joined(own.queue, Math.min(own.waiting, MOST * own.rate));
  let response;
  let answer;
  try {
    response = await request(own, "POST", `?at=${own.taken}&drawn=${own.drawn}`, body);
    answer = response.ok ? await response.json() : await response.text();
  } catch {
    return false;
  }
  own.refusal = response.status === 429 ? answer : "";
  if (AWAY.includes(response.status)) return false;
  if (!response.ok) {
    const error = new Error(answer || "The server could not do that. Load the page again.");
    throw Object.assign(error, { gone: [401, 404].includes(response.status) });
  }
  drop(own, answer.have - own.taken);
  if (own.delay && !own.ending && !own.missing) show("-trouble", "");
  Object.assign(own, { delay: 0, reached: performance.now() });
  if (answer.now) tell(own, answer);
  return true;
};
const pump = async (own) => {
  if (own.pumping || !own.number) return;
  own.pumping = true;
  try {
    while (live === own && own.waiting && (own.waiting >= LEAST * own.rate || own.flushing)) {
      if (await send(own)) continue;
      if (own.flushing && performance.now() - own.reached > GIVE_UP) {
        throw new Error("The server does not answer.");
      }
      await wait(own);
    }
    if (live === own && own.flushing) finish(own);
  } catch (error) {
    silence(own);
    if (live !== own) return;
    // What the server has is kept, unless it has let go of it.
    if (error.gone) leave(own);
    else finish(own);
    show("-trouble", error.message);
  } finally {
    own.pumping = false;
  }
};

// What the page shows

const tell = (own, answer) => {
  performance.mark("live-answer", { detail: answer.seconds });
  place("-answer").hidden = false;
  const now = place("-now");
  if (own.now !== answer.now) now.innerHTML = own.now = answer.now;
  const [strip, lines] = [place("-strip"), place("-lines")];
  strip.style.setProperty("--total", Math.max(10, answer.seconds));
  strip.insertAdjacentHTML("beforeend", answer.marks);
  lines.insertAdjacentHTML("beforeend", answer.lines);
  while (lines.children.length > SHOWN) lines.firstChild.remove();
  if (answer.lines) lines.scrollTop = lines.scrollHeight;
  own.drawn = answer.drawn;
  place("-reading").hidden = !answer.reading;
};
const clean = () => {
  ["-now", "-strip", "-lines"].forEach((name) => (place(name).innerHTML = ""));
  ["-trouble", "-said", "-ask"].forEach((name) => show(name, ""));
  place("-answer").hidden = place("-reading").hidden = true;
  show("-clock", clock(0));
};

// From Record to Stop

const begin = async () => {
  clean();
  if (!navigator.mediaDevices) return show("-trouble", window.studio.microphone("insecure"));
  if (!window.MediaStreamTrackProcessor && !window.AudioWorkletNode) return show("-trouble", "This browser is too old for Live. Record a clip instead.");
  // Made while the button is being pressed: later Safari would not let it run.
  const context = window.MediaStreamTrackProcessor ? null : new AudioContext();
  if (context) context.resume();
  const own = { context, queue: [], taken: 0, waiting: 0, drawn: 0, missing: 0, late: Infinity, flushed: () => {} };
  live = own;
  draw();
  try {
    await listen(own);
  } catch (error) {
    show("-trouble", window.studio.microphone(error.name));
    return leave(own);
  }
  if (navigator.wakeLock) own.lock = navigator.wakeLock.request("screen").catch(() => null);
  draw();
  let trouble = "The server does not answer.";
  try {
    const response = await request(own, "POST", `?rate=${own.rate}`);
    if (response.ok) own.number = (await response.json()).number;
    else trouble = await response.text();
  } catch {
    own.number = null;
  }
  if (live !== own) return leave(own);
  if (own.number) {
    own.reached = performance.now();
    return pump(own);
  }
  leave(own);
  show("-trouble", trouble);
};
const leave = (own) => {
  silence(own);
  if (own.number) request(own, "DELETE").catch(() => {});
  own.number = null;
  if (live === own) live = null;
  draw();
};
const end = async (own, why = "") => {
  if (own.ending) return;
  own.ending = true;
  if (why) show("-trouble", why);
  draw();
  await new Promise((resolve) => {
    own.flushed = resolve;
    own.flush();
    setTimeout(resolve, 3000); // A context that was paused hands nothing over any more.
  });
  silence(own);
  own.flushing = true;
  pump(own);
};
const finish = (own) => {
  if (own.taken < SHORTEST * own.rate) {
    leave(own);
    return show("-trouble", "Nothing was recorded. Press Record and speak.");
  }
  live = null;
  draw();
  place("-now").innerHTML = "";
  place("-reading").hidden = true;
  const sent = document.querySelector("#live-sent");
  sent.dataset.number = own.number;
  sent.click();
  show("-said", `${clock(own.taken / own.rate)} recorded: the answer to the whole stands above.`);
};

export const press = () => (live ? end(live) : begin());

if (typeof window === "object") addEventListener("pagehide", () => live && leave(live));
