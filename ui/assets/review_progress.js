// How far the rater is, and how quickly; drawn from numbers alone.
(() => {
  const PAUSE = 60000; // Milliseconds; a longer gap between two votes is a pause and counts as this much.

  const pace = (stamps) => {
    const gaps = stamps.slice(1).map((stamp, index) => Math.min(PAUSE, stamp - stamps[index]));
    const spent = gaps.reduce((one, other) => one + other, 0);
    return spent ? (60000 * gaps.length) / spent : null;
  };

  window.studioProgress = {
    // `kinds` names what became of each clip since the filters were set: labelled, unsure or skipped; `left` counts
    // the clips that wait under these filters; `stamps` are the times of the last votes in ms.
    draw: (kinds, left, stamps) => {
      const perMinute = pace(stamps);
      const done = kinds.length;
      const all = done + (left || 0);
      const apart = ["unsure", "skipped"]
        .map((kind) => [kinds.filter((one) => one === kind).length, kind])
        .filter(([count]) => count)
        .map(([count, kind]) => ` · ${count} ${kind}`)
        .join("");
      const speed = perMinute ? ` · <strong>${perMinute.toFixed(1)}</strong> clips/min` : "";
      const line = all ? `<strong>${done}</strong> of ${all}${apart}${speed}` : "No clip to label";
      window.studio.find("#review-progress").innerHTML =
        `<p class="progress-line">${line}</p>` +
        '<div class="progress" role="progressbar" aria-label="Clips seen in this session" aria-valuemin="0" ' +
        `aria-valuemax="${all || 1}" aria-valuenow="${done}"><i style="width:${all ? (100 * done) / all : 0}%"></i></div>`;
    },
  };
})();
