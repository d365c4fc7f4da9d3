// The player of the review tab: plays a clip as soon as it is loaded, draws how far it is, seeks.
(() => {
  const visible = (element) => element && element.offsetParent !== null;
  const playerOf = (element) => element.closest && element.closest(".player");
  const seconds = (time) => {
    const minutes = Math.floor(time / 60);
    const rest = (time - 60 * minutes).toFixed(1);
    return `${minutes}:${rest.padStart(4, "0")}`;
  };
  const draw = (audio) => {
    const player = playerOf(audio);
    if (!player) return;
    const share = audio.duration ? audio.currentTime / audio.duration : 0;
    player.style.setProperty("--played", `${(100 * share).toFixed(2)}%`);
    player.classList.toggle("playing", !audio.paused);
    player.querySelector(".now").textContent = seconds(audio.currentTime);
  };
  const follow = (audio) => {
    draw(audio);
    if (!audio.paused && audio.isConnected) requestAnimationFrame(() => follow(audio));
  };
  const pauseHidden = () =>
    document.querySelectorAll(".player audio").forEach((audio) => {
      if (!visible(playerOf(audio))) audio.pause();
    });

  window.studioPlayer = {
    toggle: (audio) => (audio.paused ? audio.play().catch(() => {}) : audio.pause()),
    seek: (audio, step) => {
      audio.currentTime = Math.max(0, Math.min(audio.duration || 0, audio.currentTime + step));
      draw(audio);
    },
  };

  // Media events do not bubble, but they can be caught on their way down.
  for (const event of ["play", "pause", "ended", "seeked"]) {
    document.addEventListener(event, ({ target }) => playerOf(target) && follow(target), true);
  }
  document.addEventListener("click", (event) => {
    const player = playerOf(event.target);
    if (player) {
      const audio = player.querySelector("audio");
      const wave = event.target.closest(".wave");
      if (event.target.closest(".listen, .closely")) return;
      if (event.target.closest(".play")) window.studioPlayer.toggle(audio);
      else if (wave && audio.duration) {
        const box = wave.getBoundingClientRect();
        audio.currentTime = (audio.duration * (event.clientX - box.left)) / box.width;
        audio.play().catch(() => {});
      }
    } else if (event.target.closest && event.target.closest("[role=tab]")) setTimeout(pauseHidden, 50);
  });
})();
