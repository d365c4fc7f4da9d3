// What the page shows stands in its address: the tab, a clip, a version, the filters of the table. The back button goes
// back, a link opens the same again. Links that begin with "?" lead within the page.
(() => {
  const { find } = window.studio;
  const HOME = "recognize";
  const read = () => Object.fromEntries(new URLSearchParams(location.search));
  const foreign = (name) => name.startsWith("__") || name === "view";
  const tabNow = () => {
    const chosen = document.querySelector('[role=tab][aria-selected="true"][id^="tab-"]');
    return chosen ? chosen.id.replace(/^tab-|-button$/g, "") : null;
  };
  let wanted = null; // The tab that is on its way to the front.

  const select = (tab) => {
    const button = find(`#tab-${CSS.escape(tab)}-button`);
    if (!button) return;
    wanted = tab;
    if (button.getAttribute("aria-selected") !== "true") button.click();
  };
  const apply = () => {
    const given = read();
    const tab = given.tab || (given.version ? "train" : HOME);
    if (tab !== tabNow()) select(tab);
    if (tab === "clips") window.studioClips.show(given);
    if (given.clip) window.studioDrawer.show(Number(given.clip) || given.clip);
    else window.studioDrawer.hide();
    if (given.version) mark(given.version);
  };
  // The row of a version comes with the tab, a moment later.
  const mark = (name, tries = 40) => {
    const row = Array.from(document.querySelectorAll("#train-versions tr[data-version]")).find((one) => one.dataset.version === name);
    document.querySelectorAll("#train-versions .marked").forEach((one) => one.classList.remove("marked"));
    if (row && row.offsetParent !== null) {
      row.classList.add("marked");
      row.scrollIntoView({ block: "center" });
    } else if (tries) setTimeout(() => mark(name, tries - 1), 250);
  };
  const write = (given, replace = false) => {
    const kept = Object.entries(read()).filter(([name]) => foreign(name));
    const own = Object.entries(given).filter(([name, value]) => !foreign(name) && value !== null && value !== undefined && value !== "");
    const query = new URLSearchParams([...own, ...kept]).toString();
    const address = query ? `?${query}` : location.pathname;
    if (`?${query}` === location.search || (!query && !location.search)) return;
    history[replace ? "replaceState" : "pushState"](null, "", address);
  };
  const go = (given, replace = false) => {
    write(given, replace);
    apply();
  };
  const link = (href) => {
    const given = Object.fromEntries(new URLSearchParams(href));
    go(given.tab || given.version ? given : { ...read(), ...given });
  };
  // Somebody has chosen a tab: the address follows.
  const look = () => {
    const tab = tabNow();
    if (!tab || (wanted !== null && tab !== wanted)) return;
    wanted = null;
    const given = read();
    if ((given.tab || (given.version ? "train" : HOME)) === tab) return;
    write(tab === HOME ? {} : tab === "clips" ? window.studioClips.address() : { tab });
    if (tab === "clips") window.studioClips.show(read());
  };

  document.addEventListener("click", (event) => {
    const anchor = event.target.closest && event.target.closest('a[href^="?"]');
    if (anchor && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      link(anchor.getAttribute("href"));
    } else setTimeout(look, 0);
  });
  document.addEventListener("keyup", () => setTimeout(look, 0));
  addEventListener("popstate", apply);
  // Gradio draws the tabs a while after the page has loaded.
  const begin = () => {
    if (!tabNow() || !find("#clip-drawer")) return setTimeout(begin, 100);
    if (Object.keys(read()).some((name) => !foreign(name))) apply();
  };
  begin();
  // Tabs wait for the role, which comes with the name; not for ever.
  setTimeout(() => document.body.classList.add("settled"), 12000);
  window.studioAddress = { read, go, write };
})();
