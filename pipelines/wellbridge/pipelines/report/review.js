"use strict";
const main = document.getElementById("questions");
const sections = [...main.querySelectorAll("section")];
const progress = document.getElementById("progress");
const hint = document.getElementById("hint");
let unsaved = false;

const answerOf = (section) => section.querySelector("input:checked")?.value ?? "";
const whyOf = (section) => section.querySelector("select").value;

function show() {
  const done = sections.filter(answerOf).length;
  progress.textContent = `${done} of ${sections.length} answered`;
  for (const section of sections) {
    section.classList.toggle("lacks-why", Boolean(answerOf(section)) && !whyOf(section));
  }
}

main.addEventListener("change", () => { unsaved = true; hint.textContent = ""; show(); });

// One key answers, but only where the focus is within a question and not in its list of reasons.
main.addEventListener("keydown", (event) => {
  const section = event.target.closest("section");
  const choice = ["1", "2", "3"].indexOf(event.key);
  if (!section || choice < 0 || event.target.matches("select") || event.ctrlKey || event.metaKey || event.altKey) return;
  const input = section.querySelectorAll("input")[choice];
  input.checked = true;
  input.focus();
  input.dispatchEvent(new Event("change", { bubbles: true }));
  event.preventDefault();
});

document.getElementById("save").addEventListener("click", () => {
  const half = sections.find((section) => Boolean(answerOf(section)) !== Boolean(whyOf(section)));
  if (half) {
    hint.textContent = "An answer and its reason go together. The question that lacks one of them is shown.";
    half.scrollIntoView({ block: "center" });
    half.querySelector(answerOf(half) ? "select" : "input").focus();
    return;
  }
  const answers = sections.map((section) => ({ question: section.id, answer: answerOf(section), why: whyOf(section) }));
  const text = JSON.stringify({ sheet: main.dataset.sheet, answers }, null, 1);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "review-answers.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  unsaved = false;
  hint.textContent = "Saved as review-answers.json; it names no child. Send it back, then delete this sheet.";
});

window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

const today = new Date();
const day = [today.getFullYear(), today.getMonth() + 1, today.getDate()].map((n) => String(n).padStart(2, "0")).join("-");
if (day > main.dataset.expires) {
  main.replaceChildren();
  document.querySelector(".save").remove();
  hint.textContent = "The last day for answers is over. Delete this file and ask for a new sheet.";
}
show();
