// The review tab: one clip in front, the next ones loaded behind it, votes on their way to the server in order.
(() => {
  const { call, tell, find, read, write, random, visible } = window.studio;
  const AHEAD = 2; // Clips loaded before they are needed; each is leased to this rater, so not more than are used.
  const PAST = 5; // Clips kept for undo without asking the server.
  const PREFERENCES = "studio-review";
  const UNSENT = "studio-unsent";

  const session = {
    shell: null, current: null, ready: [], past: [], stamps: [], waiting: [], kinds: [], left: null,
    loading: null, empty: null, voted: false, chain: Promise.resolve(), turn: 0, lease: 600, asked: null, waits: [],
  };
  const preferences = () => ({ order: "", filters: {}, blind: false, quick: false, ...read(PREFERENCES) });
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
  const held = () => [session.current, ...session.ready].filter(Boolean).map((item) => item.clip);
  const fill = async () => {
    if (session.loading || session.ready.length >= AHEAD) return;
    const turn = session.turn;
    const exclude = [...held(), ...unsent().map(([, vote]) => vote.clip)];
    const { order, filters } = preferences();
    try {
      session.loading = call("next", { order, filters, exclude });
      const answer = await session.loading;
      if (turn !== session.turn) {
        if (answer.item) call("release", { clips: [answer.item.clip] }).catch(() => {});
      } else {
        progress(answer);
        window.studioLabels.seen(answer.labels);
        find("#review-note").textContent = answer.note;
        session.empty = answer.item ? null : answer.empty;
        if (answer.item) {
          answer.item.player = await sound(answer.item);
          answer.item.asked = Date.now();
          if (turn === session.turn) session.ready.push(answer.item);
        }
      }
    } catch (error) {
      if (turn === session.turn) session.empty = `<div class="empty-queue" role="alert"><h3>No clip came</h3><p></p><p><button type="button" class="again">Try again</button></p></div>`;
      session.trouble = error.message;
    } finally {
      session.loading = null;
    }
    if (turn !== session.turn) return void fill();
    if (!session.current) advance();
    if (!session.empty) fill();
  };

  // Clips are shown

  const advance = () => {
    const item = session.ready.shift();
    if (item) show(item);
    else if (session.empty !== null) showEmpty();
    else find("#review-card").classList.add("waiting-clip");
  };
  const show = (item, vote = null) => {
    const card = find("#review-card");
    session.current = item;
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
    const left = session.left === null ? "" : `, ${session.left} to go`;
    announce(`Clip ${item.clip}, ${item.duration.toFixed(1)} seconds${left}.`);
    if (session.asked !== null) {
      const asked = session.asked;
      session.asked = null;
      requestAnimationFrame(() => session.waits.push(performance.now() - asked));
    }
    drain();
  };
  const drain = () => {
    while (session.waiting.length && ready()) session.waiting.shift()();
  };
  const ready = () => !session.undoing && (session.current || session.empty !== null);
  const showEmpty = () => {
    session.current = null;
    const card = find("#review-card");
    card.classList.remove("waiting-clip");
    card.innerHTML = session.empty;
    if (session.trouble) card.querySelector("p").textContent = session.trouble;
    session.trouble = null;
    window.studioForm.fill({});
    form(false);
    announce(card.querySelector("h3") ? card.querySelector("h3").textContent : "The queue is empty.");
    drain();
  };
  const drawAnswer = () => {
    const item = session.current;
    const place = find("#review-card .model-answer");
    if (!item || !place || !item.answer) return;
    const hidden = blind();
    if (!hidden) item.shown = true;
    place.innerHTML = hidden ? item.hidden : item.answer;
    place.classList.toggle("hidden-answer", hidden);
  };
  // Without a clip nothing can be voted on: the form is neither pressed nor reached. The last vote can be taken back still.
  const form = (on) => {
    const place = find("#review-form");
    const lost = !on && place.contains(document.activeElement);
    place.classList.toggle("resting", !on);
    place.querySelectorAll("#review-vote, #review-transcript textarea, #review-skip, #review-save").forEach((part) => (part.disabled = !on));
    find("#review-more").inert = !on;
    if (lost) find("#review-card").focus();
    drawUndo();
  };
  const drawUndo = () => (find("#review-undo").disabled = !session.voted && !session.past.length);
  const progress = (answer) => {
    if (answer.voted !== undefined) session.voted = answer.voted;
    drawUndo();
    if (answer.left === undefined) return;
    session.left = Math.max(0, answer.left - unsent().length);
    drawProgress();
  };
  const drawProgress = () => window.studioProgress.draw(session.kinds, session.left, session.stamps);

  // Votes go out

  const post = (item, vote) => {
    write(UNSENT, { ...read(UNSENT), [vote.nonce]: vote });
    session.chain = session.chain.then(() => send(item, vote));
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
    if (session.current) {
      if (session.current.player) session.current.player.pause();
      session.ready.unshift(session.current);
    }
    session.kinds.splice(session.kinds.lastIndexOf(item.kind), item.kind ? 1 : 0);
    item.kind = null;
    session.stamps.pop();
    session.past = session.past.filter((other) => other.clip !== item.clip);
    drawProgress();
    show(item, vote);
  };
  const clock = (item) => {
    if (item.since !== null) item.seconds += (performance.now() - item.since) / 1000;
    item.since = null;
    return Math.round(10 * item.seconds) / 10;
  };
  const leave = (given) => {
    const item = session.current;
    const { order, filters } = preferences();
    post(item, { ...given, clip: item.clip, prediction: item.prediction, seconds: clock(item), answer_shown: Boolean(item.shown), order, filters, nonce: random() });
    if (item.player) item.player.pause();
    session.past.push(item);
    if (session.past.length > PAST) forget(session.past.shift());
    session.stamps = [...session.stamps, performance.now()].slice(-20);
    drawUndo();
    item.kind = { skip: "skipped", unsure: "unsure" }[given.vote] || "labelled";
    session.kinds.push(item.kind);
    if (session.left) session.left -= 1;
    session.current = null;
    drawProgress();
    advance();
    fill();
  };
  // A key that comes while a clip is still on its way waits for it: none is lost, none meets a clip not its own.
  const inTurn = (act) => {
    if (ready() && !session.waiting.length) act();
    else session.waiting.push(act);
  };
  const soon = (act) => (...values) =>
    inTurn(() => (session.current ? act(...values) : say("There is no clip to label.", "gentle")));
  const saveNow = () => {
    const given = window.studioForm.read();
    if (given.vote === null) return say(`Choose first: ${window.studioKeyRange}, U unsure, or S to skip.`, "gentle");
    leave(given);
  };
  const save = soon(saveNow);
  const skip = soon(() => leave({ vote: "skip" }));
  const undo = () => inTurn(undoNow);
  const undoNow = () => {
    session.undoing = true;
    session.chain = session.chain.then(async () => {
      try {
        const answer = await call("undo", { filters: preferences().filters, clips: session.past.map((item) => item.clip) });
        const kept = session.past.find((item) => item.clip === answer.clip);
        const item = kept || answer.item;
        if (!kept) item.player = await sound(item);
        session.undoing = false;
        session.ready = session.ready.filter((other) => other.clip !== item.clip);
        say(answer.said);
        progress(answer);
        back(item, { ...answer.vote, transcript: answer.vote.transcript ?? item.transcript });
      } catch (error) {
        say(error.message, "gentle");
      } finally {
        session.undoing = false;
        drain();
      }
    });
  };

  // The tab comes and goes

  // Other filters are another task: what was done under those before does not count towards it.
  const restart = (anew = false) => {
    const gone = held();
    if (anew) {
      session.past.forEach(forget);
      Object.assign(session, { kinds: [], left: null, past: [] });
    }
    if (session.current && session.current.player) session.current.player.pause();
    [session.current, ...session.ready].forEach(forget);
    Object.assign(session, { current: null, ready: [], empty: null, waiting: [], turn: session.turn + 1 });
    find("#review-card").classList.add("waiting-clip");
    (gone.length ? call("release", { clips: gone }) : Promise.resolve()).catch(() => {}).finally(fill);
  };
  const open = () => {
    const stale = session.ready.filter((item) => Date.now() - item.asked > 1000 * session.lease);
    if (session.current) {
      if (stale.length) {
        session.ready = [];
        fill();
      }
      return;
    }
    session.empty = null;
    fill();
  };
  const enter = async (shell) => {
    if (shell !== session.shell) {
      session.shell = shell;
      window.studioLabels.drawForm();
      window.studioForm.restore();
      window.studioOptions.restore(preferences());
      try {
        const answer = await call("open", {});
        session.lease = answer.lease;
        window.studioOptions.fill(answer, preferences());
        progress(answer);
      } catch (error) {
        say(error.message, "gentle");
      }
      unsent().forEach(([, vote]) => (session.chain = session.chain.then(() => send(null, vote))));
    }
    open();
  };
  // The vote has had its turn already: what waits behind it is for the next clip.
  const quick = () => {
    if (!preferences().quick || !session.current || session.undoing) return;
    session.asked = performance.now();
    saveNow();
  };

  window.studioReview = {
    save, skip, undo, restart, keep, preferences, drawAnswer, say,
    vote: soon((index) => window.studioForm.vote(index)),
    audio: () => session.current && session.current.player,
    pressed: () => (session.asked = performance.now()),
    waits: session.waits,
    state: () => ({ clip: session.current && session.current.clip, ready: session.ready.length, unsent: unsent().length, empty: session.empty !== null }),
    enter,
    // The labels have changed: other buttons, other filters, and answers drawn anew.
    relabel: () => {
      restart();
      const shell = session.shell;
      session.shell = null;
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
    if (!clips.length || document.hidden || Date.now() - (session.renewed || 0) < 1000 * session.lease / 3) return;
    session.renewed = Date.now();
    const { kept } = await call("renew", { clips }).catch(() => ({ kept: clips }));
    session.ready = session.ready.filter((item) => kept.includes(item.clip));
  }, 1000);
  // Clips that others hold come free when they are left alone for long.
  setInterval(() => session.empty !== null && visible(session.shell) && !document.hidden && open(), 20000);
  window.studio.guard(() => unsent().length);
  addEventListener("pagehide", () => held().length && tell("release", { clips: held() }));
})();
