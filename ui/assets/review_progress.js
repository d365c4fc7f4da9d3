// How far the rater is, and how quickly; drawn from numbers alone.
(() => {
  const PAUSE = 60000; // Milliseconds; a longer gap between two votes is a pause and counts as this much.

  const pace = (stamps) => {
    const gaps = stamps.slice(1).map((stamp, index) => Math.min(PAUSE, stamp - stamps[index]));
    const spent = gaps.reduce((one, other) => one + other, 0);
    return spent ? (60000 * gaps.length) / spent : null;
  };

  window.studioProgress = {
    // `done` and `left` count clips; `stamps` are the times of the last votes in ms.
    draw: (done, left, stamps) => {
      const perMinute = pace(stamps);
      const all = done + (left || 0);
      const speed = perMinute ? ` · <strong>${perMinute.toFixed(1)}</strong> clips/min` : "";
      window.studio.find("#review-progress").innerHTML =
        `<p class="progress-line"><strong>${done}</strong> of ${all}${speed}</p>` +
        '<div class="progress" role="progressbar" aria-label="Clips labelled in this session" aria-valuemin="0" ' +
        `aria-valuemax="${all}" aria-valuenow="${done}"><i style="width:${all ? (100 * done) / all : 0}%"></i></div>`;
    },
  };
})();
