// Dialogs: a confirmation, a form, and text to copy by hand.

import { attempt, showProblems } from "./api.js";
import { announce, byId, part, setText } from "./dom.js";

/** Ask for confirmation of an action that cannot be undone. Return whether it was confirmed. */
export function askToConfirm({ title, message, action }) {
  const dialog = byId("confirm-dialog");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-message"), message);
  setText(part(dialog, "action"), action);
  dialog.returnValue = "";
  part(dialog, "cancel").onclick = () => dialog.close();
  dialog.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    dialog.close("confirmed");
  };
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => resolve(dialog.returnValue === "confirmed");
  });
}

/**
 * Open a form that stays open until `save` succeeds or the form is cancelled.
 *
 * `show(slot, problems)` shows API errors. Cancelling a changed form asks for confirmation.
 */
export function openForm(dialog, { save, show = showProblems }) {
  const form = dialog.querySelector("form");
  const slot = part(dialog, "problem");
  let changed = false;
  let saving = false; // a double click must save only once
  const cancel = async () => {
    if (!changed || (await askToConfirm(DISCARD))) dialog.close();
  };
  form.oninput = () => {
    changed = true;
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (saving) return;
    saving = true;
    if (await attempt(slot, save, show)) dialog.close();
    saving = false;
  };
  part(dialog, "cancel").onclick = cancel;
  dialog.oncancel = (event) => {
    event.preventDefault();
    cancel();
  };
  show(slot, []);
  dialog.showModal();
}

const DISCARD = {
  title: "Discard changes?",
  message: "The form has not been saved.",
  action: "Discard",
};

/** Copy a text and announce it; show the text if the browser does not allow scripts to copy. */
export async function copyText(text, announcement) {
  try {
    await navigator.clipboard.writeText(text);
    announce(announcement);
  } catch {
    showForManualCopy(text);
  }
}

// Browsers deny the clipboard to pages loaded over plain HTTP from another machine.
function showForManualCopy(text) {
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
