// Listening closely, on request, in every player: spectrogram, pitch and loudness, speed, a loop, and the clip before.
// Everything is computed in the browser from the sound that is there already.
(() => {
  const RATE = 16000; // Hz that sounds are looked at.
  const SIZE = 512; // Samples of a frame of the spectrogram.
  const TOP = 6000; // Hz, the upper edge of the spectrogram.
  const PITCH = [60, 500]; // Hz of voices.
  const VOICED = 0.5; // Autocorrelation from which a frame has a pitch.
  const FLOOR = -60; // dB, the lower edge of the loudness.
  const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5];
  const COLUMNS = 600;

  // In place, real and imaginary parts of a power of two.
  const fft = (re, im) => {
    const n = re.length;
    for (let i = 1, j = 0; i < n; i += 1) {
      let bit = n >> 1;
      for (; j & bit; bit >>= 1) j ^= bit;
      j ^= bit;
      if (i < j) [re[i], re[j], im[i], im[j]] = [re[j], re[i], im[j], im[i]];
    }
    for (let size = 2; size <= n; size <<= 1) {
      const angle = (-2 * Math.PI) / size;
      for (let start = 0; start < n; start += size) {
        for (let k = 0; k < size / 2; k += 1) {
          const [c, s] = [Math.cos(angle * k), Math.sin(angle * k)];
          const [a, b] = [start + k, start + k + size / 2];
          const [x, y] = [re[b] * c - im[b] * s, re[b] * s + im[b] * c];
          [re[b], im[b], re[a], im[a]] = [re[a] - x, im[a] - y, re[a] + x, im[a] + y];
        }
      }
    }
  };
  const hann = Float32Array.from({ length: SIZE }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (SIZE - 1)));
  const frame = (signal, middle, size) =>
    Float32Array.from({ length: size }, (_, i) => signal[Math.round(middle - size / 2) + i] || 0);
  const spectrum = (signal, middle) => {
    const re = frame(signal, middle, SIZE).map((value, i) => value * hann[i]);
    const im = new Float32Array(SIZE);
    fft(re, im);
    return Float32Array.from({ length: Math.round((TOP / RATE) * SIZE) }, (_, i) => 10 * Math.log10(re[i] ** 2 + im[i] ** 2 + 1e-9));
  };
  // The lag at which a frame is most like itself; the shortest of nearly equal ones, so that octaves are not lost.
  const pitch = (signal, middle) => {
    const part = frame(signal, middle, 800);
    const power = part.reduce((sum, value) => sum + value * value, 0);
    if (power < 1e-4 * 8) return null;
    let best = [0, 0];
    const found = [];
    for (let lag = Math.floor(RATE / PITCH[1]); lag <= RATE / PITCH[0]; lag += 1) {
      let [sum, one, other] = [0, 0, 0];
      for (let i = 0; i + lag < part.length; i += 1) {
        sum += part[i] * part[i + lag];
        one += part[i] ** 2;
        other += part[i + lag] ** 2;
      }
      const alike = sum / Math.sqrt(one * other + 1e-12);
      found.push([lag, alike]);
      if (alike > best[1]) best = [lag, alike];
    }
    if (best[1] < VOICED) return null;
    const first = found.find(([, alike], i) => alike > 0.92 * best[1] && alike >= (found[i + 1] || [0, 0])[1]);
    return RATE / (first || best)[0];
  };
  const loudness = (signal, middle) => {
    const part = frame(signal, middle, 800);
    return 10 * Math.log10(part.reduce((sum, value) => sum + value * value, 0) / part.length + 1e-9);
  };
  const minus = (number) => String(Math.round(number)).replace("-", "−");
  const median = (values) => values.slice().sort((a, b) => a - b)[Math.floor(values.length / 2)];

  const analyse = async (url) => {
    const bytes = await (await fetch(url)).arrayBuffer();
    const sound = await new OfflineAudioContext(1, RATE, RATE).decodeAudioData(bytes);
    const signal = sound.getChannelData(0);
    const columns = Math.min(COLUMNS, Math.max(60, Math.floor(signal.length / 80)));
    const places = Array.from({ length: columns }, (_, i) => ((i + 0.5) * signal.length) / columns);
    return {
      spectra: places.map((place) => spectrum(signal, place)),
      pitches: places.map((place) => pitch(signal, place)),
      levels: places.map((place) => loudness(signal, place)),
    };
  };
  const draw = (panel, { spectra, pitches, levels }) => {
    const style = getComputedStyle(document.querySelector(".gradio-container"));
    const ink = style.getPropertyValue("--ink").trim();
    const spectrogram = panel.querySelector(".spectrogram");
    const bands = spectra[0].length;
    Object.assign(spectrogram, { width: spectra.length, height: bands });
    const context = spectrogram.getContext("2d");
    const loudest = Math.max(...spectra.map((one) => Math.max(...one)));
    context.fillStyle = ink;
    spectra.forEach((one, x) =>
      one.forEach((level, band) => {
        context.globalAlpha = Math.min(1, Math.max(0, 1 + (level - loudest) / 60)) ** 1.5;
        context.fillRect(x, bands - 1 - band, 1, 1);
      }),
    );
    const [width, height] = [spectra.length, 100];
    const y = (hz) => height - (height * Math.log(hz / PITCH[0])) / Math.log(PITCH[1] / PITCH[0]);
    const dots = pitches.map((hz, x) => (hz === null ? "" : `M${x} ${y(hz).toFixed(1)}h1`)).join("");
    const line = levels.map((level, x) => `${x ? "L" : "M"}${x} ${(height * Math.min(1, level / FLOOR)).toFixed(1)}`).join("");
    panel.querySelector(".tracks").innerHTML =
      `<svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" aria-hidden="true"><path class="level" d="${line}"/><path class="pitch" d="${dots}"/></svg>`;
    const voiced = pitches.filter((hz) => hz !== null).sort((a, b) => a - b);
    const [low, high] = [voiced[Math.floor(0.1 * voiced.length)], voiced[Math.floor(0.9 * voiced.length)]];
    const spoken = levels.filter((level) => level > Math.max(...levels) - 30);
    panel.querySelector(".measured").textContent =
      (voiced.length ? `Pitch ${Math.round(median(voiced))} Hz, range ${(12 * Math.log2(high / low)).toFixed(1)} semitones` : "No pitch found") +
      ` · loudness ${minus(median(spoken))} dB, up to ${minus(Math.max(...levels))} dB`;
  };

  // The panel of a player

  const audioOf = (player) => player.querySelector("audio");
  const loops = new WeakMap(); // {player: [start, end] in seconds}
  const drawLoop = (player) => {
    const band = player.querySelector(".loop");
    const [start, end] = loops.get(player) || [null, null];
    const length = audioOf(player).duration || 1;
    band.hidden = start === null || end === null;
    band.style.left = `${(100 * start) / length}%`;
    band.style.width = `${(100 * (end - start)) / length}%`;
    player.querySelector(".loop-text").textContent = start === null ? "" : end === null ? `from ${start.toFixed(1)} s` : `${start.toFixed(1)} to ${end.toFixed(1)} s`;
    player.querySelector("[data-listen=clear]").hidden = start === null;
  };
  const setLoop = (player, start, end) => {
    if (start === null) loops.delete(player);
    else loops.set(player, end !== null && end < start ? [end, start] : [start, end]);
    drawLoop(player);
    if (end !== null && end !== start) {
      audioOf(player).currentTime = loops.get(player)[0];
      audioOf(player).play().catch(() => {});
      keepWithin(player);
    }
  };
  const open = async (player) => {
    const button = player.querySelector(".closely");
    const there = player.querySelector(".listen");
    if (there) {
      there.hidden = !there.hidden;
      button.setAttribute("aria-expanded", String(!there.hidden));
      return;
    }
    button.setAttribute("aria-expanded", "true");
    const speeds = SPEEDS.map((speed) => `<option value="${speed}"${speed === 1 ? " selected" : ""}>${speed}×</option>`).join("");
    player.insertAdjacentHTML(
      "beforeend",
      `<div class="listen"><div class="pictures"><canvas class="spectrogram" role="img" aria-label="Spectrogram, 0 to ${TOP / 1000} kHz"></canvas>
       <div class="tracks"></div><div class="loop" hidden></div><div class="head"></div></div>
       <p class="measured" role="status">Looking at the sound …</p><p class="cues" role="status"></p>
       <p class="listen-key quiet">above: 0 to ${TOP / 1000} kHz, the darker the louder · below: <span class="pitch-key">pitch</span>, ${PITCH[0]} to ${PITCH[1]} Hz, and <span class="level-key">loudness</span>, ${minus(FLOOR)} to 0 dB · drag over it to loop a part</p>
       <div class="listen-tools"><label>Speed <select class="speed">${speeds}</select></label>
       <button type="button" data-listen="from">Loop from here</button><button type="button" data-listen="to">to here</button>
       <span class="loop-text"></span><button type="button" data-listen="clear" hidden>No loop</button>
       <button type="button" data-listen="other" hidden></button></div></div>`,
    );
    drawOther(player);
    cues(player);
    try {
      draw(player, await analyse(audioOf(player).src));
    } catch {
      player.querySelector(".measured").textContent = "This browser cannot look at the sound of this recording.";
    }
  };

  // Only a stored clip that is open has a source to be compared with.
  const cues = async (player) => {
    const { clip } = window.studioAddress.read();
    if (!clip || !player.closest("#clip-drawer")) return;
    try {
      player.querySelector(".cues").textContent = (await window.studio.call("clip_cues", { clip: Number(clip) }, 60000)).said;
    } catch (error) {
      player.querySelector(".cues").textContent = error.message;
    }
  };

  // The clip that was played before, to compare with

  let current = null;
  let before = null;
  const other = new Audio();
  const remember = async (player) => {
    const name = player.getAttribute("aria-label");
    if (current && current.name === name) return;
    try {
      const blob = await (await fetch(audioOf(player).src)).blob();
      if (before) URL.revokeObjectURL(before.url);
      before = current;
      current = { name, url: URL.createObjectURL(blob) };
    } catch {
      return;
    }
    drawOther(player);
  };
  const drawOther = (player) => {
    const button = player.querySelector("[data-listen=other]");
    if (!button) return;
    button.hidden = !before;
    if (before) button.textContent = other.paused ? `Compare with ${before.name}` : `Back to this clip`;
  };
  const compare = (player) => {
    const audio = audioOf(player);
    if (other.paused) {
      audio.pause();
      other.src = before.url;
      other.play().catch(() => {});
    } else {
      other.pause();
      audio.currentTime = (loops.get(player) || [0])[0];
      audio.play().catch(() => {});
    }
    drawOther(player);
  };
  other.addEventListener("ended", () => document.querySelectorAll(".player").forEach(drawOther));

  const playerOf = (target) => target.closest && target.closest(".player");
  document.addEventListener("play", ({ target }) => {
    const player = playerOf(target);
    if (!player) return;
    other.pause();
    remember(player);
    keepWithin(player);
    const speed = player.querySelector(".speed");
    if (speed) target.playbackRate = Number(speed.value);
  }, true);
  // With every picture that is drawn: the browser's own news of the time come four times a second.
  const keepWithin = (player) => {
    const audio = audioOf(player);
    const [start, end] = loops.get(player) || [null, null];
    if (start === null || end === null || !audio || !audio.isConnected || audio.paused) return;
    if (audio.currentTime >= end || audio.currentTime < start - 0.1) audio.currentTime = start;
    requestAnimationFrame(() => keepWithin(player));
  };
  // A loop that ends with the clip goes on, too.
  document.addEventListener("ended", ({ target }) => {
    const player = playerOf(target);
    const [start, end] = (player && loops.get(player)) || [null, null];
    if (end !== null && end !== undefined) {
      target.currentTime = start;
      target.play().catch(() => {});
    }
  }, true);
  document.addEventListener("click", ({ target }) => {
    const player = playerOf(target);
    if (!player) return;
    if (target.closest(".closely")) return void open(player);
    const act = target.dataset.listen;
    const audio = audioOf(player);
    const [start] = loops.get(player) || [null];
    if (act === "from") setLoop(player, audio.currentTime, null);
    if (act === "to") setLoop(player, start === null ? 0 : start, audio.currentTime);
    if (act === "clear") setLoop(player, null, null);
    if (act === "other") compare(player);
  });
  document.addEventListener("change", ({ target }) => {
    if (target.matches(".player .speed")) audioOf(playerOf(target)).playbackRate = Number(target.value);
  });
  // Dragging over the pictures loops what was dragged over; a click goes there.
  let drag = null;
  const at = (event) => {
    const box = drag.pictures.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * (audioOf(drag.player).duration || 0);
  };
  document.addEventListener("pointerdown", (event) => {
    const pictures = event.target.closest && event.target.closest(".listen .pictures");
    if (!pictures) return;
    drag = { pictures, player: playerOf(pictures) };
    drag.start = at(event);
    event.preventDefault();
  });
  document.addEventListener("pointerup", (event) => {
    if (!drag) return;
    const [end, { player, start }] = [at(event), drag];
    drag = null;
    if (Math.abs(end - start) > 0.05) setLoop(player, start, end);
    else audioOf(player).currentTime = end;
  });
})();
