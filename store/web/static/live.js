// Keeps what is under way current: asks for the same page again and shows its live part. Without it the page is read by reloading.
"use strict";
const PAUSE = 2000;
async function refresh() {
  const part = document.querySelector("[data-live='on']");
  if (!part) return;
  try {
    const answer = await fetch(location.href, { headers: { "x-emr-sync-live": "1" }, redirect: "error" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = answer.ok && page.querySelector("[data-live]");
    if (fresh) part.replaceWith(document.adoptNode(fresh));
  } catch {
    // signed out, or the service is away for a moment: what is shown stays
  }
  setTimeout(refresh, PAUSE);
}
setTimeout(refresh, PAUSE);
