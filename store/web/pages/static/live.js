// Keeps what is under way current: asks for the live part of this page again, and tells screen readers now and then what came of it.
// Without scripts the page is loaded again by itself while something runs (parts.html, live).
"use strict";
const QUIET = 15000;
let told = Date.now();
const within = (part) => [...part.querySelectorAll("a, button, summary, [tabindex]")];
const alike = (part, one) => within(part).filter((other) => other.getAttribute("href") === one.getAttribute("href"));
function tell(before, now) {
  const ended = before.dataset.live !== now.dataset.live;
  if (before.dataset.say === now.dataset.say || (!ended && Date.now() - told < QUIET)) return;
  document.querySelector("[data-told]").textContent = now.dataset.say;
  told = Date.now();
}
function keep(before, now) {
  const open = [...before.querySelectorAll("details")].map((one) => one.open);
  now.querySelectorAll("details").forEach((one, place) => { one.open = open[place] ?? one.open; });
  const focused = document.activeElement;
  if (!before.contains(focused)) return null;
  const [was, is] = [alike(before, focused), alike(now, focused)];
  return is.at(was.indexOf(focused) - was.length) ?? within(now)[within(before).indexOf(focused)]; // new rows come first
}
function show(before, now) {
  tell(before, now);
  if (before.innerHTML === now.innerHTML && before.dataset.live === now.dataset.live) return;
  const focused = keep(before, now);
  before.replaceWith(now);
  focused?.focus({ preventScroll: true });
}
async function refresh(part) {
  const answer = await fetch(location.pathname + location.search, { headers: { "x-emr-sync-live": "1" }, redirect: "error" });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const now = answer.ok && page.querySelector("[data-live]");
  if (now) show(part, document.adoptNode(now));
}
async function again() {
  const part = document.querySelector("[data-live]");
  if (!part || part.dataset.live === "off") return;
  if (!document.hidden) await refresh(part).catch(() => {}); // signed out, or the service is away for a moment: what is shown stays
  later();
}
function later() {
  const seconds = document.querySelector("[data-live]")?.dataset.live;
  if (seconds && seconds !== "off") setTimeout(again, seconds * 1000);
}
later();
