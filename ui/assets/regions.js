// Regions of a timeline as values, in order of their starts: borders moved, regions divided and joined.
(() => {
  const SHORTEST = 0.3; // Seconds of a region at least, as on the server.
  const TOUCH = 0.02; // Seconds between regions that share a border.
  const same = (one, other) => (one.speaker || "") === (other.speaker || "");
  const touched = (region) => Object.assign(region, { touched: true, saved: false });

  // A border that two regions share moves for both; none crosses that of a neighbour.
  const move = (regions, region, side, seconds, duration) => {
    const [other, step] = side === "start" ? ["end", -1] : ["start", 1];
    const own = regions.filter((one) => same(one, region));
    const next = own[own.indexOf(region) + step];
    const shared = Boolean(next) && Math.abs(next[other] - region[side]) < TOUCH;
    const free = side === "start" ? 0 : duration;
    const far = shared ? next[side] - step * SHORTEST : next ? next[other] : free;
    const near = region[other] + step * SHORTEST;
    const at = Math.max(Math.min(near, far), Math.min(Math.max(near, far), Math.round(100 * seconds) / 100));
    touched(region)[side] = at;
    if (shared) Object.assign(next, { [other]: at, saved: false });
  };
  // Divided at a time, or in the middle if that lies elsewhere.
  const split = (regions, region, seconds) => {
    const within = seconds > region.start + SHORTEST && seconds < region.end - SHORTEST;
    const at = within ? seconds : (region.start + region.end) / 2;
    // Nobody knows which words are in which part.
    const parts = { ...touched(region), transcript: null, written: false };
    regions.splice(regions.indexOf(region), 1, { ...parts, end: at }, { ...parts, start: at });
  };
  const following = (regions, region) => regions.find((one, at) => at > regions.indexOf(region) && same(one, region));
  const join = (regions, region) => {
    const next = following(regions, region);
    const words = [region.transcript, next.transcript].filter(Boolean).join(" ");
    const written = region.written || next.written;
    Object.assign(touched(region), { end: Math.max(region.end, next.end), transcript: words || null, written });
    regions.splice(regions.indexOf(next), 1);
  };

  window.studioRegions = { SHORTEST, touched, move, split, following, join };
})();
