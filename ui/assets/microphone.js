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
