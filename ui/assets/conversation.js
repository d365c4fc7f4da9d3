// A conversation: links to turns, their sound, and why they are what they are.
(() => {
  const { call } = window.studio;
  let audio = null;
  let until = null;

  const root = () => document.querySelector("#conversation .conversation");
  const turn = (number) => document.getElementById(`cv-turn-${number}`);
  const stop = () => {
    if (audio) audio.pause();
    until = null;
  };
  const sound = () => {
    const path = document.querySelector("#conversation .cv-sound");
    if (!path) return null;
    const config = window.gradio_config || {};
    const base = `${(config.root || "").replace(/\/$/, "")}${config.api_prefix || "/gradio_api"}`;
    const address = `${base}/file=${encodeURI(path.dataset.path)}`;
    if (audio && audio.getAttribute("src") === address) return audio;
    stop();
    audio = document.createElement("audio");
    audio.setAttribute("src", address);
    audio.addEventListener("timeupdate", () => {
      if (until !== null && audio.currentTime >= until) stop();
    });
    for (const event of ["pause", "ended"]) audio.addEventListener(event, () => mark(null));
    return audio;
  };
  const mark = (button) => {
    for (const one of document.querySelectorAll("#conversation .cv-play")) {
      one.textContent = one === button ? "❚❚" : "▶";
      one.closest(".cv-turn").classList.toggle("now", one === button);
    }
  };
  const play = (button) => {
    const player = sound();
    if (!player) return;
    if (button.textContent !== "▶") return stop();
    player.currentTime = Number(button.dataset.start);
    until = Number(button.dataset.end);
    player.play().then(() => mark(button)).catch(() => mark(null));
  };

  const say = (place, text) => {
    const line = document.createElement("p");
    line.className = "status gentle";
    line.setAttribute("role", "status");
    line.textContent = text;
    place.replaceChildren(line);
  };
  // Opens or closes what a button controls; filled by the server when it is first opened.
  const open = async (button, waiting, fill) => {
    const place = document.getElementById(button.getAttribute("aria-controls"));
    const shown = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!shown));
    place.hidden = shown;
    if (shown || place.dataset.filled) return;
    say(place, waiting);
    try {
      await fill(place, { token: root().dataset.token, turn: Number(button.dataset.turn) });
      place.dataset.filled = "yes";
    } catch (error) {
      say(place, error.message);
    }
  };
  const why = (button) =>
    open(button, "Leaving out words one by one …", async (place, given) => {
      place.innerHTML = (await call("conversation_why", given)).html;
    });

  const answer = (button) =>
    open(button, "Looking for words …", async (place, given) => {
      const language = document.documentElement.lang.split("-")[0];
      const found = await call("conversation_reply", { ...given, language });
      place.innerHTML = found.html;
      if (found.writing) follow(place, given);
    });
  // What a language model has written so far; what a person has changed stays theirs.
  const follow = async (place, given) => {
    const field = place.querySelector("textarea");
    let last = field.value;
    while (place.isConnected) {
      await new Promise((done) => setTimeout(done, 300));
      let found;
      try {
        found = await call("conversation_written", given);
      } catch {
        found = { writing: false };
      }
      const own = field.value !== last;
      if (!found.writing) {
        if (found.html && !own) place.innerHTML = found.html;
        else place.querySelector(".cv-writing").remove();
        return;
      }
      if (!own) field.value = last = found.text;
    }
  };
  // Speaks the reply as it stands, each sentence while the next is made; a second press stops it.
  let speaking = null;
  const hush = () => {
    if (!speaking) return;
    speaking.stopped = true;
    if (speaking.player) speaking.player.pause();
    speaking.button.textContent = "Listen";
    speaking = null;
  };
  const listen = async (button) => {
    const mine = speaking && speaking.button === button;
    hush();
    stop();
    if (mine) return;
    const own = (speaking = { button, stopped: false, player: null });
    const row = button.closest(".cv-speak");
    const line = row.querySelector(".cv-spoken");
    const given = {
      token: root().dataset.token,
      turn: Number(row.dataset.turn),
      text: row.closest(".cv-reply").querySelector("textarea").value,
      chime: row.querySelector(".cv-chime").checked,
    };
    const made = (sentence) => call("conversation_speak", { ...given, sentence });
    button.textContent = "Stop";
    line.textContent = "";
    try {
      let next = made(0);
      for (let sentence = 1; next && !own.stopped; sentence += 1) {
        const found = await next;
        if (own.stopped) return;
        next = found.more ? made(sentence) : null;
        if (next) next.catch(() => {}); // Told when its turn comes.
        own.player = new Audio(found.audio);
        const over = new Promise((done) => ["ended", "pause", "error"].forEach((one) => own.player.addEventListener(one, done)));
        await own.player.play();
        await over;
      }
    } catch (error) {
      if (!own.stopped) line.textContent = error.message;
    }
    if (speaking === own) hush();
  };

  const rate = async (button) => {
    const place = button.closest(".cv-reply");
    const line = place.querySelector(".cv-kept");
    const consent = [...place.querySelectorAll(".cv-keep input:checked")].map((one) => one.value);
    const given = { token: root().dataset.token, turn: Number(place.dataset.turn) };
    try {
      const kept = await call("conversation_rate", { ...given, rating: button.dataset.rating, edited: place.querySelector("textarea").value, consent });
      line.textContent = kept.said;
      const back = document.createElement("button");
      back.type = "button";
      back.textContent = "Take back";
      back.addEventListener("click", async () => {
        try {
          line.textContent = (await call("conversation_forget", { id: kept.id })).said;
        } catch (error) {
          line.textContent = error.message;
        }
      });
      line.append(" ", back);
    } catch (error) {
      line.textContent = error.message;
    }
  };

  const go = (number) => {
    const row = turn(number);
    if (!row) return;
    row.scrollIntoView({ block: "center" });
    row.focus({ preventScroll: true });
  };

  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element) || !event.target.closest("#conversation")) return;
    const link = event.target.closest("a[data-turn]");
    if (link) {
      event.preventDefault();
      go(link.dataset.turn);
      return;
    }
    const button = event.target.closest("button");
    if (button && button.classList.contains("cv-play")) play(button);
    if (button && button.classList.contains("cv-why")) why(button);
    if (button && button.classList.contains("cv-answer")) answer(button);
    if (button && button.classList.contains("cv-listen")) listen(button);
    if (button && button.classList.contains("cv-rate")) rate(button);
  });
})();
