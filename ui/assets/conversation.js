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
  const why = async (button) => {
    const place = document.getElementById(button.getAttribute("aria-controls"));
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    place.hidden = open;
    if (open || place.dataset.filled) return;
    say(place, "Leaving out words one by one …");
    try {
      const answer = await call("conversation_why", { token: root().dataset.token, turn: Number(button.dataset.turn) });
      place.innerHTML = answer.html;
      place.dataset.filled = "yes";
    } catch (error) {
      say(place, error.message);
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
  });
})();
