// The box selects what was looked for, so that typing starts a new search. The link to refine puts the cursor behind it instead.
// Without this script, the cursor is before it.
"use strict";
const box = document.getElementById("value");
box.focus();
box.select();
document.querySelector(".refine a")?.addEventListener("click", (event) => {
  event.preventDefault();
  box.focus();
  box.setSelectionRange(box.value.length, box.value.length);
});
