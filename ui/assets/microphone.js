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

// Gradio's streaming microphone fails for good when it is started before its recorder is there: the first press waits.
(() => {
  const [settled, longest] = [1000, 6000]; // ms for the recorder's own process, and after which it is tried anyway
  let files = 0;
  let since = null;
  let pressed = null;
  new PerformanceObserver((list) => {
    files += list.getEntries().filter((one) => /\/module-[\w-]+\.js/.test(one.name)).length;
    if (files >= 2 && since === null) since = performance.now();
  }).observe({ type: "resource", buffered: true });
  const after = (moment, time) => moment !== null && performance.now() - moment > time;
  const ready = () => after(since, settled) || after(pressed, longest);

  document.addEventListener(
    "click",
    (event) => {
      const button = event.target instanceof Element && event.target.closest("#live-audio button");
      if (!button || ready()) return;
      event.stopImmediatePropagation();
      event.preventDefault();
      if (pressed !== null) return;
      pressed = performance.now();
      const start = () => {
        if (!ready()) setTimeout(start, 100);
        else if (button.isConnected) button.click();
      };
      start();
    },
    true,
  );
})();
