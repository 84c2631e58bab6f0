"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  // An address with a password in it is no address that a script may ask.
  const at = (name) => name && new URL(name, location.origin + location.pathname).href;
  const {source, events, act} = Object.fromEntries(Object.entries(document.body.dataset).map(([name, value]) => [name, at(value)]));
  const shown = {};
  let last = null, skew = 0, trouble = "", isLive = false, isLoading = false, again = false, asked = 0;

  // The monitor escaped every text in a section. The policy of this page lets no script in them run, whatever they hold.
  const put = (name, html) => {
    const place = byId("s-" + name);
    if (!place || shown[name] === html) return;
    const open = [...place.querySelectorAll("details")].map((each) => each.open);
    const key = place.contains(document.activeElement) ? document.activeElement.dataset.name : undefined;
    place.innerHTML = html;
    place.querySelectorAll("details").forEach((each, number) => { each.open = open[number] || false; });
    if (key !== undefined) [...place.querySelectorAll("[data-name]")].find((each) => each.dataset.name === key)?.focus();
    shown[name] = html;
  };

  const ago = (seconds) => seconds < 90 ? Math.round(seconds) + " s" : seconds < 5400 ? Math.round(seconds / 60) + " min"
    : seconds < 172800 ? Math.round(seconds / 3600) + " h" : Math.round(seconds / 86400) + " d";

  const tick = () => {
    const now = (Date.now() + skew) / 1000, old = last ? now - last.at : 0, stale = byId("stale");
    const since = last ? new Date(last.at * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC" : "";
    let said = trouble;
    if (!said && last && old > 3 * last.every + 5) said = "The monitor is silent since " + since + " (" + ago(old) + "). What is below is old.";
    if (stale.textContent !== said) stale.textContent = said;
    stale.hidden = !said;
    byId("age").textContent = last ? "as of " + since + ", " + ago(Math.max(0, old)) + " ago, " + (isLive ? "live" : "every few seconds") : "loading";
    if (last) document.title = (said ? "? " : {good: "✓ ", bad: "✗ ", warning: "▲ "}[last.headline.standing] || "? ") + last.site + ": " + (said ? "no news" : last.headline.text);
  };

  const load = async () => {
    if (isLoading) { again = true; return; }
    isLoading = true; asked = Date.now();
    try {
      const answer = await fetch(source, {cache: "no-cache", credentials: "same-origin", signal: AbortSignal.timeout(10000)});
      if (!answer.ok) throw new Error(answer.status === 401 ? "the password is needed: load this page again" : answer.status === 404 ? "the monitor wrote nothing yet" : "the proxy answers " + answer.status);
      const told = Date.parse(answer.headers.get("Date")), found = await answer.json();
      if (told) skew = told - Date.now();
      for (const name in found.sections) put(name, found.sections[name]);
      last = found; trouble = "";
    } catch (error) { trouble = "No news: " + (error.name === "Error" ? error.message : "the site does not answer"); }
    isLoading = false; tick();
    if (again) { again = false; load(); }
  };

  const listen = () => {
    const stream = new EventSource(events);
    stream.onopen = () => { isLive = true; load(); };
    stream.onmessage = load;
    stream.onerror = () => { isLive = false; if (stream.readyState === 2) setTimeout(listen, 15000); };
  };

  const form = byId("act");
  const show = (text) => { byId("act-said").textContent = text; };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-act]");
    if (!button || !form) return;
    form.dataset.act = button.dataset.act; form.dataset.name = button.dataset.name; form.hidden = false;
    byId("act-what").textContent = button.textContent.trim();
    byId("act-silence").hidden = button.dataset.act !== "silence";
    show(""); byId("act-token").focus();
  });
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = {act: form.dataset.act, name: form.dataset.name, hours: Number(byId("act-hours").value), reason: byId("act-reason").value};
    try {
      const answer = await fetch(act, {method: "POST", credentials: "same-origin", headers: {"Content-Type": "application/json", "X-Monitor-Token": byId("act-token").value}, body: JSON.stringify(body)});
      const said = await answer.json();
      show(said.text); if (answer.ok) { form.hidden = true; load(); }
    } catch { show("the monitor does not answer: it must run for this"); }
  });
  byId("act-cancel")?.addEventListener("click", () => { form.hidden = true; });

  setInterval(() => { tick(); if (!document.hidden && Date.now() - asked > (isLive ? 30000 : 4000)) load(); }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) load(); });
  if (events) listen();
  load();
})();
