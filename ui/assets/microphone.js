// Browsers level and clean microphone sound by default. Loudness and breath carry emotion, so the page asks for
// the sound as it is.
(() => {
  const devices = navigator.mediaDevices;
  if (!devices || !devices.getUserMedia) return;
  const ask = devices.getUserMedia.bind(devices);
  devices.getUserMedia = (constraints) => {
    if (!constraints || !constraints.audio) return ask(constraints);
    const wanted = typeof constraints.audio === "object" ? constraints.audio : {};
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
    return ask({ ...constraints, audio: { ...wanted, ...plain } }).catch((error) => {
      document.dispatchEvent(new CustomEvent("studio-microphone", { detail: error.name }));
      throw error;
    });
  };
})();

// The live microphone's script comes when its panel is opened: a first load does without it.
(() => {
  let script = null;
  document.addEventListener("click", ({ target }) => {
    const panel = target.closest && target.closest("#recognize-live-panel");
    if (!panel) return;
    const pressed = target.closest("#live-record");
    script ||= import(new URL(window.studioLive, document.baseURI));
    script.then(
      (live) => pressed && live.press(),
      () => {
        const trouble = panel.querySelector(".live-trouble");
        if (trouble) Object.assign(trouble, { hidden: false, textContent: "The server does not answer." });
      },
    );
  });
})();
