// What the page's own scripts share: this browser's key, what it remembers, and calls to the server.
(() => {
  // Gradio's client says this of its own streams whenever one ends; what is left in the console is worth a look.
  const { warn } = console;
  console.warn = (...said) => /^Method not implemented/.test(said[0]) || warn.apply(console, said);

  const memory = new Map();
  // Storage is refused in some private windows and frames: then things are remembered until the page is left.
  const read = (name) => {
    try {
      return JSON.parse(localStorage.getItem(name)) ?? memory.get(name) ?? null;
    } catch {
      return memory.get(name) ?? null;
    }
  };
  const write = (name, value) => {
    memory.set(name, value);
    try {
      if (value === null) localStorage.removeItem(name);
      else localStorage.setItem(name, JSON.stringify(value));
    } catch {
      return;
    }
  };
  const random = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");

  const KEY = "studio-browser-key";
  const key = () => {
    const found = read(KEY) || random();
    write(KEY, found);
    return found;
  };
  const name = () => {
    const field = document.querySelector("#rater input, #rater textarea");
    return field ? field.value : "";
  };
  const address = (endpoint) => {
    const config = window.gradio_config || {};
    return `${(config.root || "").replace(/\/$/, "")}${config.api_prefix || "/gradio_api"}/run/${endpoint}`;
  };
  // These calls hold no state: all go by one session. Without any, Gradio makes a new one, a copy of every part, for each.
  const SESSION = "page";
  const body = (act, given) =>
    JSON.stringify({ session_hash: SESSION, data: [act, { who: { name: name(), key: key() }, ...given }] });

  // Resolves to what the server answers; rejects with `.answered` true where it refused, false where it was not reached.
  const call = async (act, given = {}, timeout = 30000) => {
    let response;
    try {
      response = await fetch(address("page"), {
        method: "POST",
        credentials: "include",
        headers: { "Content-Type": "application/json" },
        body: body(act, given),
        signal: AbortSignal.timeout ? AbortSignal.timeout(timeout) : undefined,
      });
    } catch (error) {
      throw Object.assign(new Error("The server does not answer."), { answered: false });
    }
    if (response.status === 401) throw Object.assign(new Error("Your login has ended: load the page again."), { answered: true });
    if ([502, 503, 504].includes(response.status)) throw Object.assign(new Error("The server is starting."), { answered: false });
    const answer = await response.json().catch(() => ({}));
    const result = answer.data && answer.data[0];
    if (!response.ok || !result) throw Object.assign(new Error("The server could not do that. Load the page again."), { answered: true });
    if (result.error) throw Object.assign(new Error(result.error), { answered: true });
    return result;
  };
  // For the moment in which a page goes away.
  const tell = (act, given) =>
    fetch(address("page"), {
      method: "POST",
      keepalive: true,
      credentials: "include",
      headers: { "Content-Type": "application/json" },
      body: body(act, given),
    }).catch(() => {});

  // What the page sends carries this browser's key and, in the frame of a Space, a cookie that no other site can read.
  const plain = window.fetch.bind(window);
  window.fetch = (resource, options = {}) => {
    const url = new URL(resource instanceof Request ? resource.url : resource, document.baseURI);
    if (url.origin !== location.origin || (options.method || "GET") === "GET") return plain(resource, options);
    const headers = new Headers(options.headers || (resource instanceof Request ? resource.headers : undefined));
    const token = /(?:^|; )studio-token=([^;]+)/.exec(document.cookie);
    headers.set("X-Rater-Key", key());
    // Without a choice the browser's own languages count, which may be others than the page has.
    if (window.studioLanguage.chosen) headers.set("X-Studio-Language", window.studioLanguage.chosen);
    if (token) headers.set("X-Studio-Token", token[1]);
    return plain(resource, { ...options, headers });
  };

  // Asks before the page is left with something unsaved. Gradio's client, whose listener comes later, would close its
  // streams at the question, and the server would let go of the uploads of a person who stays.
  const guards = [];
  const guard = (unsaved) => guards.push(unsaved);
  addEventListener("beforeunload", (event) => {
    if (!guards.some((unsaved) => unsaved())) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  });

  window.studio = {
    get key() {
      return key();
    },
    read, write, random, call, tell, name, guard,
    find: (selector) => document.querySelector(selector),
    visible: (element) => Boolean(element && element.offsetParent !== null),
  };
})();
