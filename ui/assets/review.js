// The review tab: one clip in front, the next ones loaded behind it, votes on their way to the server in order.
(() => {
  const { call, tell, find, read, write, random, visible } = window.studio;
  const AHEAD = 2; // Clips loaded before they are needed; each is leased to this rater, so not more than are used.
  const PAST = 5; // Clips kept for undo without asking the server.
  const PREFERENCES = "studio-review";
  const UNSENT = "studio-unsent";

  const sitting = {
    shell: null, current: null, ready: [], past: [], stamps: [], waiting: [], kinds: [], left: null,
    loading: null, empty: null, chain: Promise.resolve(), turn: 0, lease: 600, asked: null, waits: [],
  };
  const preferences = () => ({ order: "least certain", filters: {}, blind: false, quick: false, ...read(PREFERENCES) });
  const keep = (changes) => write(PREFERENCES, { ...preferences(), ...changes });
  const say = (message, kind = "good") => {
    const status = find("#review-status");
    status.className = `status ${kind}`;
    status.textContent = message;
  };
  const announce = (message) => (find("#review-live").textContent = message);
  const blind = () => find("#review-blind input").checked;
  const unsent = () => Object.entries(read(UNSENT) || {});

  // Clips come in

  const sound = (item) => {
    if (!item.audio) return Promise.resolve(null);
    const bytes = Uint8Array.from(atob(item.audio), (letter) => letter.charCodeAt(0));
    const audio = new Audio(URL.createObjectURL(new Blob([bytes], { type: "audio/flac" })));
    item.audio = null;
    audio.preload = "auto";
    return new Promise((resolve) => {
      audio.addEventListener("loadeddata", () => resolve(audio), { once: true });
      audio.addEventListener("error", () => resolve(null), { once: true });
      audio.load();
    });
  };
  const forget = (item) => item && item.player && URL.revokeObjectURL(item.player.src);
  const held = () => [sitting.current, ...sitting.ready].filter(Boolean).map((item) => item.clip);
  const fill = async () => {
    if (sitting.loading || sitting.ready.length >= AHEAD) return;
    const turn = sitting.turn;
    const exclude = [...held(), ...unsent().map(([, vote]) => vote.clip)];
    const { order, filters } = preferences();
    try {
      sitting.loading = call("next", { order, filters, exclude });
      const answer = await sitting.loading;
      if (turn !== sitting.turn) {
        if (answer.item) call("release", { clips: [answer.item.clip] }).catch(() => {});
        return;
      }
      progress(answer);
      window.studioLabels.seen(answer.labels);
      find("#review-note").textContent = answer.note;
      sitting.empty = answer.item ? null : answer.empty;
      if (answer.item) {
        answer.item.player = await sound(answer.item);
        answer.item.asked = Date.now();
        if (turn === sitting.turn) sitting.ready.push(answer.item);
      }
    } catch (error) {
      sitting.empty = `<div class="empty-queue" role="alert"><h3>No clip came</h3><p></p><p><button type="button" class="again">Try again</button></p></div>`;
      sitting.trouble = error.message;
    } finally {
      sitting.loading = null;
    }
    if (turn !== sitting.turn) return void fill();
    if (!sitting.current) advance();
    if (!sitting.empty) fill();
  };

  // Clips are shown

  const advance = () => {
    const item = sitting.ready.shift();
    if (item) show(item);
    else if (sitting.empty !== null) showEmpty();
    else find("#review-card").classList.add("waiting-clip");
  };
  const show = (item, vote = null) => {
    const card = find("#review-card");
    sitting.current = item;
    card.classList.remove("waiting-clip");
    card.innerHTML = item.card;
    drawAnswer();
    window.studioForm.fill(vote || { transcript: item.transcript });
    form(true);
    item.since = null;
    item.seconds = 0;
    const player = card.querySelector(".player");
    if (player && item.player) {
      item.player.currentTime = 0;
      player.prepend(item.player);
      item.since = performance.now();
      if (visible(card)) item.player.play().catch(() => {});
    } else if (player) {
      player.outerHTML = '<p class="status gentle" role="alert">This browser cannot play the recording. Skip it (S).</p>';
    }
    const left = sitting.left === null ? "" : `, ${sitting.left} to go`;
    announce(`Clip ${item.clip}, ${item.duration.toFixed(1)} seconds${left}.`);
    if (sitting.asked !== null) {
      const asked = sitting.asked;
      sitting.asked = null;
      requestAnimationFrame(() => sitting.waits.push(performance.now() - asked));
    }
    drain();
  };
  const drain = () => {
    while (sitting.waiting.length && ready()) sitting.waiting.shift()();
  };
  const ready = () => !sitting.undoing && (sitting.current || sitting.empty !== null);
  const showEmpty = () => {
    sitting.current = null;
    const card = find("#review-card");
    card.classList.remove("waiting-clip");
    card.innerHTML = sitting.empty;
    if (sitting.trouble) card.querySelector("p").textContent = sitting.trouble;
    sitting.trouble = null;
    window.studioForm.fill({});
    form(false);
    announce(card.querySelector("h3") ? card.querySelector("h3").textContent : "The queue is empty.");
    drain();
  };
  const drawAnswer = () => {
    const item = sitting.current;
    const place = find("#review-card .model-answer");
    if (!item || !place || !item.answer) return;
    const hidden = blind();
    if (!hidden) item.shown = true;
    place.innerHTML = hidden ? item.hidden : item.answer;
    place.classList.toggle("hidden-answer", hidden);
  };
  const form = (on) => find("#review-form").classList.toggle("resting", !on);
  const progress = (answer) => {
    if (answer.left === undefined) return;
    sitting.left = Math.max(0, answer.left - unsent().length);
    drawProgress();
  };
  const drawProgress = () => window.studioProgress.draw(sitting.kinds, sitting.left, sitting.stamps);

  // Votes go out

  const post = (item, vote) => {
    write(UNSENT, { ...read(UNSENT), [vote.nonce]: vote });
    sitting.chain = sitting.chain.then(() => send(item, vote));
  };
  const send = async (item, vote, pause = 1000) => {
    try {
      const answer = await call("vote", vote);
      settled(vote);
      progress(answer);
      say(answer.said);
      if (!answer.kept) drawProgress();
    } catch (error) {
      if (!error.answered) {
        say(`Not saved yet: ${error.message} It is tried again until it works; leave this page open.`, "gentle");
        await new Promise((resolve) => setTimeout(resolve, pause));
        return send(item, vote, Math.min(15000, 2 * pause));
      }
      settled(vote);
      say(`Clip ${vote.clip} was not saved. ${error.message}`, "gentle");
      if (item) back(item, vote);
    }
  };
  const settled = (vote) => {
    const rest = { ...read(UNSENT) };
    delete rest[vote.nonce];
    write(UNSENT, Object.keys(rest).length ? rest : null);
  };
  const back = (item, vote) => {
    if (sitting.current) {
      if (sitting.current.player) sitting.current.player.pause();
      sitting.ready.unshift(sitting.current);
    }
    sitting.kinds.splice(sitting.kinds.lastIndexOf(item.kind), item.kind ? 1 : 0);
    item.kind = null;
    sitting.stamps.pop();
    sitting.past = sitting.past.filter((other) => other.clip !== item.clip);
    drawProgress();
    show(item, vote);
  };
  const clock = (item) => {
    if (item.since !== null) item.seconds += (performance.now() - item.since) / 1000;
    item.since = null;
    return Math.round(10 * item.seconds) / 10;
  };
  const leave = (given) => {
    const item = sitting.current;
    const { order, filters } = preferences();
    post(item, { ...given, clip: item.clip, prediction: item.prediction, seconds: clock(item), answer_shown: Boolean(item.shown), order, filters, nonce: random() });
    if (item.player) item.player.pause();
    sitting.past.push(item);
    if (sitting.past.length > PAST) forget(sitting.past.shift());
    sitting.stamps = [...sitting.stamps, performance.now()].slice(-20);
    item.kind = { skip: "skipped", unsure: "unsure" }[given.vote] || "labelled";
    sitting.kinds.push(item.kind);
    if (sitting.left) sitting.left -= 1;
    sitting.current = null;
    drawProgress();
    advance();
    fill();
  };
  // A key that comes while a clip is still on its way waits for it: none is lost, none meets a clip not its own.
  const inTurn = (act) => {
    if (ready() && !sitting.waiting.length) act();
    else sitting.waiting.push(act);
  };
  const soon = (act) => (...values) =>
    inTurn(() => (sitting.current ? act(...values) : say("There is no clip to label.", "gentle")));
  const saveNow = () => {
    const given = window.studioForm.read();
    if (given.vote === null) return say(`Choose first: ${window.studioKeyRange}, U unsure, or S to skip.`, "gentle");
    leave(given);
  };
  const save = soon(saveNow);
  const skip = soon(() => leave({ vote: "skip" }));
  const undo = () => inTurn(undoNow);
  const undoNow = () => {
    sitting.undoing = true;
    sitting.chain = sitting.chain.then(async () => {
      try {
        const answer = await call("undo", { filters: preferences().filters, clips: sitting.past.map((item) => item.clip) });
        const kept = sitting.past.find((item) => item.clip === answer.clip);
        const item = kept || answer.item;
        if (!kept) item.player = await sound(item);
        sitting.undoing = false;
        sitting.ready = sitting.ready.filter((other) => other.clip !== item.clip);
        say(answer.said);
        progress(answer);
        back(item, { ...answer.vote, transcript: answer.vote.transcript ?? item.transcript });
      } catch (error) {
        say(error.message, "gentle");
      } finally {
        sitting.undoing = false;
        drain();
      }
    });
  };

  // The tab comes and goes

  // Other filters are another task: what was done under those before does not count towards it.
  const restart = (anew = false) => {
    const gone = held();
    if (anew) {
      sitting.past.forEach(forget);
      Object.assign(sitting, { kinds: [], left: null, past: [] });
    }
    if (sitting.current && sitting.current.player) sitting.current.player.pause();
    [sitting.current, ...sitting.ready].forEach(forget);
    Object.assign(sitting, { current: null, ready: [], empty: null, waiting: [], turn: sitting.turn + 1 });
    find("#review-card").classList.add("waiting-clip");
    (gone.length ? call("release", { clips: gone }) : Promise.resolve()).catch(() => {}).finally(fill);
  };
  const open = () => {
    const stale = sitting.ready.filter((item) => Date.now() - item.asked > 1000 * sitting.lease);
    if (sitting.current) {
      if (stale.length) {
        sitting.ready = [];
        fill();
      }
      return;
    }
    sitting.empty = null;
    fill();
  };
  const enter = async (shell) => {
    if (shell !== sitting.shell) {
      sitting.shell = shell;
      window.studioLabels.drawForm();
      window.studioForm.restore();
      window.studioOptions.restore(preferences());
      try {
        const answer = await call("open", {});
        sitting.lease = answer.lease;
        window.studioOptions.fill(answer, preferences());
        progress(answer);
      } catch (error) {
        say(error.message, "gentle");
      }
      unsent().forEach(([, vote]) => (sitting.chain = sitting.chain.then(() => send(null, vote))));
    }
    open();
  };
  // The vote has had its turn already: what waits behind it is for the next clip.
  const quick = () => {
    if (!preferences().quick || !sitting.current || sitting.undoing) return;
    sitting.asked = performance.now();
    saveNow();
  };

  window.studioReview = {
    save, skip, undo, restart, keep, preferences, drawAnswer, say,
    vote: soon((index) => window.studioForm.vote(index)),
    audio: () => sitting.current && sitting.current.player,
    pressed: () => (sitting.asked = performance.now()),
    waits: sitting.waits,
    state: () => ({ clip: sitting.current && sitting.current.clip, ready: sitting.ready.length, unsent: unsent().length, empty: sitting.empty !== null }),
    enter,
    // The labels have changed: other buttons, other filters, and answers drawn anew.
    relabel: () => {
      restart();
      const shell = sitting.shell;
      sitting.shell = null;
      if (shell) enter(shell);
    },
  };
  document.addEventListener("change", ({ target }) => target.name === "review-vote" && quick());
  document.addEventListener("submit", (event) => event.target.closest("#review-form") && event.preventDefault());
  document.addEventListener("click", ({ target }) => {
    const button = target.closest && target.closest("#review-shell button");
    if (!button) return;
    if (button.matches(".again")) restart();
    const act = { "review-save": save, "review-skip": skip, "review-undo": undo }[button.id];
    if (act) act();
  });
  // A clip is lent for a while: as long as somebody is here, it stays theirs.
  setInterval(async () => {
    const clips = held();
    if (!clips.length || document.hidden || Date.now() - (sitting.renewed || 0) < 1000 * sitting.lease / 3) return;
    sitting.renewed = Date.now();
    const { kept } = await call("renew", { clips }).catch(() => ({ kept: clips }));
    sitting.ready = sitting.ready.filter((item) => kept.includes(item.clip));
  }, 1000);
  // Clips that others hold come free when they are left alone for long.
  setInterval(() => sitting.empty !== null && visible(sitting.shell) && !document.hidden && open(), 20000);
  addEventListener("beforeunload", (event) => unsent().length && event.preventDefault());
  addEventListener("pagehide", () => held().length && tell("release", { clips: held() }));
})();
