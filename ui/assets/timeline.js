// Feeling over time: the strip of a recording, its regions played, corrected, saved and exported. Drawn from values of the server.
(() => {
  const { call, find, guard } = window.studio;
  const { SHORTEST, touched, ...edit } = window.studioRegions;
  const NUDGE = 0.05;
  const BATCH = 10; // Regions that are saved in one call.
  const make = (name, values = {}, ...inside) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(values)) {
      if (key === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
      else if (key in element && typeof value !== "string") element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...inside);
    return element;
  };
  const time = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
  const svg = (name, values) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(values)) element.setAttribute(key, value);
    return element;
  };

  const open = (root) => {
    const data = JSON.parse(root.dataset.timeline);
    const label = (name) => data.labels.find((one) => one.name === name) || { css: "", icon: "", name };
    const lanes = [...new Set(data.regions.map((one) => one.speaker || ""))];
    let regions = data.regions.map((one) => ({ ...one, touched: false, saved: false, written: false }));
    let chosen = null;
    let until = null;
    let zoom = 1;
    const undo = [];
    const config = window.gradio_config || {};
    const base = `${(config.root || "").replace(/\/$/, "")}${config.api_prefix || "/gradio_api"}`;
    const audio = make("audio", { preload: "metadata", src: `${base}/file=${encodeURI(data.path)}` });
    const button = (text, act, values = {}) => make("button", { type: "button", on: { click: act }, ...values }, text);

    // The strip
    const place = (seconds) => `${(100 * seconds) / data.duration}%`;
    const head = make("i", { class: "tl-head", "aria-hidden": "true" });
    const marks = make("div", { class: "tl-marks" });
    const wave = svg("svg", { viewBox: `0 0 ${data.box[0]} ${data.box[1]}`, preserveAspectRatio: "none", class: "tl-wave", "aria-hidden": "true" });
    wave.append(svg("path", { d: data.wave }));
    const lines = svg("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", class: "tl-lines", "aria-hidden": "true" });
    const inner = make("div", { class: "tl-inner" }, wave, lines, marks, head);
    const strip = make("div", { class: "tl-strip" }, inner);
    inner.style.setProperty("--lanes", lanes.length);
    wave.addEventListener("click", (event) => {
      const box = inner.getBoundingClientRect();
      seek((data.duration * (event.clientX - box.left)) / box.width);
    });
    const scrollTo = (x) => (strip.scrollLeft = x - strip.clientWidth / 2);
    const inView = (x) => x >= strip.scrollLeft && x <= strip.scrollLeft + strip.clientWidth;
    const along = (seconds) => (seconds / data.duration) * inner.clientWidth;
    const zoomTo = (factor) => {
      const x = inView(along(audio.currentTime)) ? along(audio.currentTime) : strip.scrollLeft + strip.clientWidth / 2;
      const middle = x / inner.clientWidth;
      zoom = Math.max(1, Math.min(64, factor));
      inner.style.width = `${100 * zoom}%`;
      scrollTo(middle * inner.clientWidth);
    };
    const drawLines = () => {
      lines.replaceChildren();
      if (!showLines.checked) return;
      for (const one of data.labels) {
        const points = [];
        for (const region of regions) {
          const share = (region.scores || {})[one.name];
          if (share === undefined || share === null) continue;
          points.push(`${(1000 * region.start) / data.duration},${100 - 96 * share}`, `${(1000 * region.end) / data.duration},${100 - 96 * share}`);
        }
        if (points.length) lines.append(svg("polyline", { points: points.join(" "), class: one.css }));
      }
    };

    // Playing
    const seek = (seconds) => {
      audio.currentTime = Math.max(0, Math.min(data.duration, seconds));
      follow();
    };
    const play = (region) => {
      until = region ? region.end : null;
      if (region) audio.currentTime = region.start;
      audio.play().catch(() => tell("This browser cannot play the file: its regions can still be read and corrected.", "gentle"));
    };
    const toggle = () => (audio.paused ? play(null) : audio.pause());
    const follow = () => {
      const now = audio.currentTime;
      head.style.left = place(now);
      clockText.textContent = `${time(now)} / ${time(data.duration)}`;
      regions.forEach((region, at) => {
        const inside = now >= region.start && now < region.end;
        const row = list.children[at];
        if (!row || row.classList.contains("now") === inside) return;
        row.classList.toggle("now", inside);
        if (inside && !audio.paused) reveal(row);
      });
      if (!audio.paused && !inView(along(now))) strip.scrollLeft = along(now) - 40;
      if (until !== null && now >= until) {
        audio.pause();
        until = null;
      }
      if (!audio.paused && root.isConnected) requestAnimationFrame(follow);
    };
    for (const event of ["play", "pause", "seeked", "ended"]) audio.addEventListener(event, () => {
      playButton.textContent = audio.paused ? "Play" : "Pause";
      follow();
    });

    // Correcting
    const change = (act, show = draw) => {
      undo.push(JSON.stringify(regions));
      if (undo.length > 50) undo.shift();
      act();
      show();
    };
    const setLabel = (name) => chosen !== null && change(() => (touched(regions[chosen]).label = name));
    // Redrawn once the focus has moved on, and the click that moved it has come: what is redrawn meanwhile would lose both.
    let held = false;
    root.addEventListener("pointerdown", () => (held = true), true);
    addEventListener("pointerup", () => (held = false));
    const drawSoon = () => (held ? addEventListener("pointerup", () => setTimeout(draw, 0), { once: true }) : setTimeout(draw, 0));
    const setBorder = (side, value) =>
      Number.isFinite(value) ? change(() => edit.move(regions, regions[chosen], side, value, data.duration), drawSoon) : drawSoon();
    // The border that is nearer to the playhead.
    const nudge = (seconds) => {
      if (chosen === null) return;
      const { start, end } = regions[chosen];
      const side = Math.abs(audio.currentTime - start) <= Math.abs(audio.currentTime - end) ? "start" : "end";
      setBorder(side, regions[chosen][side] + seconds);
    };
    const grip = (region, side) => {
      const handle = make("span", { class: "tl-grip", title: side === "start" ? "Drag the beginning" : "Drag the end", "data-side": side });
      handle.style.left = place(region[side]);
      handle.style.setProperty("--lane", lanes.indexOf(region.speaker || ""));
      const under = (event) => ((event.clientX - inner.getBoundingClientRect().left) / inner.clientWidth) * data.duration;
      handle.addEventListener("pointerdown", (event) => {
        event.preventDefault();
        handle.setPointerCapture(event.pointerId);
        handle.onpointermove = (moved) => (handle.style.left = place(Math.max(0, Math.min(data.duration, under(moved)))));
        handle.onpointerup = (left) => setBorder(side, under(left));
        handle.onpointercancel = draw;
      });
      return handle;
    };
    const split = () => {
      if (chosen === null) return;
      const region = regions[chosen];
      if (region.end - region.start < 2 * SHORTEST) return tell(`Parts must last ${SHORTEST} s at least.`, "gentle");
      change(() => edit.split(regions, region, audio.currentTime));
    };
    const join = () => {
      if (chosen === null) return;
      const region = regions[chosen];
      if (!edit.following(regions, region)) return tell("There is no later region of this speaker to join.", "gentle");
      change(() => edit.join(regions, region));
    };
    const remove = () => chosen !== null && change(() => regions.splice(chosen, 1));
    const write = (words) => change(() => Object.assign(touched(regions[chosen]), { transcript: words, written: true }), drawSoon);
    const reveal = (row) => {
      const top = row.offsetTop - list.offsetTop;
      if (top < list.scrollTop || top + row.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 3;
    };
    const choose = (at, sound) => {
      if (!regions.length) return;
      chosen = Math.max(0, Math.min(regions.length - 1, at));
      draw();
      const { start, end } = regions[chosen];
      reveal(list.children[chosen]);
      if (!inView(along(start)) || !inView(along(end))) scrollTo(along((start + end) / 2));
      if (sound) play(regions[chosen]);
      else seek(start);
    };

    // Drawing
    const list = make("ol", { class: "tl-list", "aria-label": "Regions" });
    const editor = make("div", { class: "tl-editor", role: "group", "aria-label": "Correct the region" });
    const clockText = make("span", { class: "tl-clock" }, `0:00.0 / ${time(data.duration)}`);
    const status = make("p", { class: "status tl-status", role: "status" });
    const tell = (text, kind = "good") => {
      status.textContent = text;
      status.className = `status tl-status ${kind}`;
    };
    const face = (one) => {
      const span = make("span", { class: `tl-face ${one.css}` });
      span.innerHTML = one.icon;
      return span;
    };
    const drawRegion = (region, at) => {
      const one = label(region.label);
      const words = `${region.label}, ${time(region.start)} to ${time(region.end)}`;
      const mark = button("", () => choose(at, true), { class: `tl-region ${one.css}${at === chosen ? " chosen" : ""}${region.touched ? " touched" : ""}`, title: words, "aria-label": words, tabindex: "-1" });
      mark.style.left = place(region.start);
      mark.style.width = place(region.end - region.start);
      mark.style.setProperty("--lane", lanes.indexOf(region.speaker || ""));
      mark.append(make("span", {}, region.label));
      marks.append(mark);
      if (at === chosen) marks.append(grip(region, "start"), grip(region, "end"));
      const sure = region.touched ? (region.saved ? "saved" : "yours") : region.unsure ? "not sure" : `${Math.round(100 * (region.confidence || 0))} %`;
      const row = make("li", { class: at === chosen ? "chosen" : "" });
      row.append(
        button("", () => choose(at, true), { class: "tl-row", "aria-current": at === chosen ? "true" : "false" })
      );
      row.firstChild.append(
        make("span", { class: "tl-time" }, `${time(region.start)}–${time(region.end)}`), face(one), make("strong", {}, region.label),
        make("span", { class: "quiet", title: region.unsure || "" }, sure),
        make("span", { class: "tl-words", translate: "no" }, [region.speaker ? `${region.speaker}: ` : "", region.transcript || ""].join(""))
      );
      list.append(row);
    };
    const drawEditor = () => {
      editor.replaceChildren();
      if (chosen === null) return editor.append(make("p", { class: "quiet" }, "Choose a region to hear and correct it."));
      const region = regions[chosen];
      const number = (side, text) =>
        make("label", {}, text, make("input", { type: "number", step: "0.05", min: "0", max: String(data.duration), value: region[side].toFixed(2), on: { change: (event) => setBorder(side, parseFloat(event.target.value)) } }));
      const names = make("div", { class: "tl-labels", role: "group", "aria-label": "Label" });
      for (const one of data.labels) {
        const choice = button("", () => setLabel(one.name), { class: one.css, "aria-pressed": region.label === one.name ? "true" : "false" });
        choice.append(face(one), `${one.key.toUpperCase()} ${one.name}`);
        names.append(choice);
      }
      editor.append(names, make("div", { class: "tl-borders" }, number("start", "from, s"), number("end", "to, s"), button("Split", split), button("Join with next", join), button("Remove", remove), button("Undo", back, { disabled: !undo.length })));
      const words = make("input", { type: "text", value: region.transcript || "", on: { change: (event) => write(event.target.value.trim()) } });
      editor.append(make("label", { class: "tl-transcript" }, "Transcript (edit if wrong)", words));
    };
    const back = () => {
      if (!undo.length) return;
      regions = JSON.parse(undo.pop());
      draw();
    };
    const waiting = () => regions.filter((one) => one.touched && !one.saved);
    const draw = () => {
      const focused = root.contains(document.activeElement);
      const kept = regions[chosen];
      regions.sort((one, other) => one.start - other.start);
      if (chosen !== null) chosen = kept ? regions.indexOf(kept) : regions.length - 1;
      if (chosen < 0) chosen = null;
      const top = list.scrollTop;
      marks.replaceChildren();
      list.replaceChildren();
      regions.forEach(drawRegion);
      list.scrollTop = top;
      drawEditor();
      drawLines();
      saveButton.textContent = !waiting().length ? "Save corrected regions" : waiting().length === 1 ? "Save 1 corrected region" : `Save ${waiting().length} corrected regions`;
      saveButton.disabled = !waiting().length;
      // A redrawn button would lose the focus, and with it the keys.
      if (focused && !root.contains(document.activeElement)) root.focus({ preventScroll: true });
      follow();
    };

    // Saving and exporting
    const plain = (one) => ({ start: one.start, end: one.end, label: one.label, speaker: one.speaker, channel: one.channel, transcript: one.transcript, written: one.written });
    const ticks = data.consent.map(([words, purpose]) => make("label", {}, make("input", { type: "checkbox", value: purpose }), ` ${words}`));
    const whole = make("input", { type: "checkbox" });
    const who = make("input", { type: "text", maxlength: "80", placeholder: "a pseudonym", "aria-label": "Who is speaking? (optional)" });
    const save = async () => {
      const left = waiting();
      const consent = ticks.map((one) => one.firstChild).filter((one) => one.checked).map((one) => one.value);
      if (!left.length) return;
      if (!consent.length) return tell("Nothing was saved: tick what the regions may be used for first.", "gentle");
      saveButton.disabled = true;
      let done = 0;
      try {
        for (let at = 0; at < left.length; at += BATCH) {
          const part = left.slice(at, at + BATCH);
          tell(`Saving ${done} of ${left.length} …`, "quiet");
          const sent = part.map(plain);
          await call("save_regions", { token: data.token, regions: sent, consent, speaker: who.value, keep: whole.checked && !at }, 120000);
          part.forEach((one, index) => (one.saved = JSON.stringify(plain(one)) === JSON.stringify(sent[index])));
          done += part.length;
        }
        tell(done === 1 ? "1 region is saved as a clip with your vote." : `${done} regions are saved, each as a clip with your vote.`);
      } catch (error) {
        tell(`${done} of ${left.length} are saved. ${error.message}`, "gentle");
      }
      draw();
    };
    const saveButton = button("Save", save, { class: "tl-save" });
    const format = make("select", { "aria-label": "Format" }, ...data.formats.map((name) => make("option", { value: name }, name)));
    const download = async () => {
      if (!regions.length) return tell("There is no region to export.", "gentle");
      try {
        const file = await call("export_timeline", { token: data.token, format: format.value, regions: regions.map(plain) });
        const link = make("a", { href: URL.createObjectURL(new Blob([file.text], { type: "text/plain" })), download: file.name });
        link.click();
        setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      } catch (error) {
        tell(error.message, "gentle");
      }
    };

    const playButton = button("Play", toggle, { class: "tl-play" });
    const showLines = make("input", { type: "checkbox", on: { change: drawLines } });
    root.append(
      audio,
      make("div", { class: "tl-bar" }, playButton, clockText, button("−", () => zoomTo(zoom / 2), { "aria-label": "Zoom out" }), button("+", () => zoomTo(zoom * 2), { "aria-label": "Zoom in" }), make("label", {}, showLines, " a line for each feeling")),
      strip,
      ...data.notes.map((note) => make("p", { class: "quiet" }, note)),
      make("div", { class: "tl-columns" }, list, editor),
      make("fieldset", { class: "tl-consent" }, make("legend", {}, data.question), ...ticks, make("label", {}, whole, " Keep the whole recording, too"), make("label", {}, "Who is speaking? ", who), saveButton),
      status,
      make("div", { class: "tl-bar" }, make("label", {}, "Export as ", format), button("Download", download), make("span", { class: "quiet" }, "Keys: Space plays, R repeats, ↑ ↓ choose, 1–7 label, Shift ← → move the nearer border, S splits, J joins, Delete removes, Z undoes, + − zoom"))
    );
    root.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=text], input[type=number], select")) return;
      const key = event.key.toLowerCase();
      const named = data.labels.find((one) => one.key === key);
      const pressing = event.target.matches("button, input");
      const acts = {
        " ": pressing ? null : toggle, arrowleft: () => seek(audio.currentTime - 2), arrowright: () => seek(audio.currentTime + 2),
        ...(event.shiftKey ? { arrowleft: () => nudge(-NUDGE), arrowright: () => nudge(NUDGE) } : {}),
        arrowup: () => choose((chosen ?? 1) - 1, true), arrowdown: () => choose((chosen ?? -1) + 1, true),
        r: () => chosen !== null && play(regions[chosen]), s: split, j: join, delete: remove, z: back, "+": () => zoomTo(zoom * 2), "-": () => zoomTo(zoom / 2),
      };
      const act = named ? () => setLabel(named.name) : acts[key];
      // Keys in here are of the timeline alone, not of the tab around it.
      event.stopPropagation();
      if (!act) return;
      event.preventDefault();
      act();
    });
    guard(() => root.isConnected && waiting().length);
    draw();
    // Shown in full, with its keys at hand, unless somebody does something else meanwhile.
    if (document.activeElement.matches("body,#show-timeline,#use-timeline")) {
      root.focus({ preventScroll: true });
      root.scrollIntoView();
    }
  };

  const watch = () => {
    const root = find(".timeline:not([data-ready])");
    if (!root) return;
    root.dataset.ready = "yes";
    open(root);
  };
  new MutationObserver(watch).observe(document, { childList: true, subtree: true });
})();
