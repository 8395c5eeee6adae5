// Dialogs: a question, a form, and text to copy where the browser will not copy it for us.

import { attempt, showProblems } from "./api.js";
import { announce, byId, part, setText } from "./dom.js";

/** Ask before something that cannot be undone; whether the answer is yes. */
export function ask({ title, words, agree }) {
  const dialog = byId("question");
  setText(byId("question-title"), title);
  setText(byId("question-words"), words);
  setText(part(dialog, "agree"), agree);
  dialog.returnValue = "";
  part(dialog, "cancel").onclick = () => dialog.close();
  dialog.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    dialog.close("yes");
  };
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
  });
}

/**
 * Open a form that stays open until `save` succeeds, or until it is given up.
 *
 * `show(slot, problems)` places refusals; what was typed is dropped only after a question.
 */
export function openForm(dialog, { save, show = showProblems }) {
  const form = dialog.querySelector("form");
  const slot = part(dialog, "problem");
  let touched = false;
  let saving = false; // a double click saves once
  const giveUp = async () => {
    if (!touched || (await ask(DISCARD))) dialog.close();
  };
  form.oninput = () => {
    touched = true;
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (saving) return;
    saving = true;
    if (await attempt(slot, save, show)) dialog.close();
    saving = false;
  };
  part(dialog, "cancel").onclick = giveUp;
  dialog.oncancel = (event) => {
    event.preventDefault();
    giveUp();
  };
  show(slot, []);
  dialog.showModal();
}

const DISCARD = {
  title: "Drop what you typed?",
  words: "Nothing of this form has been saved.",
  agree: "Drop it",
};

/** Copy a text, and say so; show it for copying by hand where scripts may not. */
export async function copy(text, words) {
  try {
    await navigator.clipboard.writeText(text);
    announce(words);
  } catch {
    showForCopying(text);
  }
}

// Browsers keep the clipboard from pages that come over plain http from another machine.
function showForCopying(text) {
  const dialog = byId("copy-dialog");
  const area = part(dialog, "text");
  area.value = text;
  dialog.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    dialog.close();
  };
  dialog.showModal();
  area.select();
}
