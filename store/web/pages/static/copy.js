// Text to copy is selected as a whole when the keyboard reaches it, as with one click.
"use strict";
for (const one of document.querySelectorAll("pre.copy")) {
  one.addEventListener("focus", () => getSelection().selectAllChildren(one));
}
