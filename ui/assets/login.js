// The login form: says how long one has to wait after failures. Gradio's own form says only that the login has failed.
(() => {
  const plain = window.fetch.bind(window);
  let timer = 0;
  const line = () => {
    const found = document.getElementById("login-wait");
    if (found) return found;
    const made = document.createElement("p");
    made.id = "login-wait";
    made.setAttribute("role", "alert");
    made.style.fontWeight = "bold";
    const form = document.querySelector("input")?.closest(".form, form, .wrap, body") || document.body;
    form.before(made);
    return made;
  };
  const show = (sentence) => (line().textContent = sentence);
  const wait = (seconds) => {
    clearInterval(timer);
    const until = Date.now() + seconds * 1000;
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left <= 0) clearInterval(timer);
      const time = left < 90 ? `${left} s` : `${Math.ceil(left / 60)} min`;
      show(left > 0 ? `Too many logins have failed. You can try again in ${time}.` : "You can try again now.");
    };
    timer = setInterval(tick, 1000);
    tick();
  };
  window.fetch = async (resource, options) => {
    const answer = await plain(resource, options);
    const address = new URL(resource instanceof Request ? resource.url : resource, document.baseURI);
    if (!address.pathname.endsWith("/login") || answer.ok) return answer;
    const seconds = Number(answer.headers.get("Retry-After"));
    if (seconds > 0) wait(seconds);
    else if (document.getElementById("login-wait")) show("");
    return answer;
  };
})();
