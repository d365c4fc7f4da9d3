// Recording on the first tab: one click starts it, a clock runs, the limit ends it, and trouble is explained in a sentence.
(() => {
  const { find, visible } = window.studio;
  const EARLY = 0.3; // Seconds before the limit: a recorder takes a moment to stop, and a longer clip would be refused.
  const part = (selector) => find(`#recognize-audio ${selector}`);
  const trouble = (message) => {
    const place = find(".microphone-trouble");
    if (!place) return;
    place.hidden = !message;
    place.textContent = message;
  };
  const REASONS = {
    NotAllowedError: "The browser may not use the microphone. Allow it by the sign next to the address and press Record again, or upload a file.",
    NotFoundError: "No microphone was found. Connect one and press Record again, or upload a file.",
    NotReadableError: "Another program is using the microphone. Close it and press Record again, or upload a file.",
    insecure: "Browsers record only on pages whose address begins with https, or on this machine itself. Upload a file instead.",
  };
  window.studio.microphone = (name) => REASONS[name] || `The microphone cannot be used (${name}). Upload a file instead.`;
  const explain = (name) => trouble(window.studio.microphone(name));
  document.addEventListener("studio-microphone", ({ detail }) => visible(part(".record-button, .controls")) && explain(detail));

  // The recorder throws an error that the sentence above has explained.
  addEventListener("unhandledrejection", (event) => {
    if (/accessing the microphone/.test(String(event.reason))) event.preventDefault();
  });
  const until = (found, act, tries = 40) => {
    const element = found();
    if (element) act(element);
    else if (tries) setTimeout(() => until(found, act, tries - 1), 50);
  };
  // An example plays as soon as its answer begins to appear.
  const play = (label) => {
    const arrived = () => window.studioLanguage.english(find("#clip-line")).includes(`Example: ${label}`) && part("button:is([aria-label=Play], [data-said=Play])");
    until(() => (/[1-9]/.test((part("time#duration, time.duration, .timestamps time:last-child") || {}).textContent || "") ? arrived() : null), (button) => button.click(), 200);
  };
  let seconds = 0;
  let timer = null;
  const draw = () => {
    const now = find(".record-clock .now");
    const whole = Math.floor(seconds);
    if (now) now.textContent = `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  };
  const stopButton = () => ["#stop-paused", ".stop-button"].map(part).find(visible);
  const tick = () => {
    const line = find(".record-clock");
    const stop = stopButton();
    if (!line || (!stop && seconds > 0)) return end();
    if (!stop) return;
    trouble("");
    line.classList.add("recording");
    if (!visible(part(".resume-button"))) seconds += (performance.now() - last) / 1000;
    last = performance.now();
    draw();
    const limit = Number(line.dataset.limit || 0);
    if (limit && seconds >= limit - EARLY) {
      stop.click();
      end();
    }
  };
  let last = 0;
  const begin = () => {
    clearInterval(timer);
    seconds = 0;
    last = performance.now();
    timer = setInterval(() => (stopButton() ? tick() : seconds ? end() : (last = performance.now())), 100);
  };
  const end = () => {
    clearInterval(timer);
    timer = null;
    seconds = 0;
    draw();
    const line = find(".record-clock");
    if (line) line.classList.remove("recording");
  };
  document.addEventListener("click", ({ target }) => {
    if (!target.closest || !target.closest("#recognize-audio, #examples")) return;
    const example = target.closest("[data-example]");
    if (example) play(example.dataset.example);
    if (target.closest(".record-button")) begin();
    else if (target.closest("[aria-label='Upload file'], [data-said='Upload file'], #examples")) trouble("");
    if (!target.closest("[aria-label='Record audio'], [data-said='Record audio']")) return;
    if (!navigator.mediaDevices) return explain("insecure");
    // The first click only shows the recorder: it is to record.
    until(() => part(".record-button"), (button) => visible(button) && button.click());
  });
  // A file may be dropped while the recorder is shown, too.
  document.addEventListener("dragenter", ({ target }) => {
    if (!target.closest || !target.closest("#recognize-audio") || stopButton()) return;
    const upload = part(":is([aria-label='Upload file'], [data-said='Upload file']):not(.selected)");
    if (upload) upload.click();
  });
})();
