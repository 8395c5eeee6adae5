// Files that are chosen, dropped or pasted on the page, for the API.

import { ApiError, attempt, call } from "./api.js";
import { openForm } from "./dialogs.js";
import { announce, byId, part, setText } from "./dom.js";

/** Call `use(value, name)` with the content of each chosen JSON file, and show errors in `slot`. */
export function onJsonFile(input, slot, use) {
  onFile(input, (file) => attempt(slot, async () => use(await read(file), file.name)));
}

/** Call `use(file)` with each chosen file. */
function onFile(input, use) {
  input.onchange = () => {
    const [file] = input.files;
    input.value = ""; // so that choosing the same file again is a change
    if (file) use(file);
  };
}

async function read(file) {
  const text = await file.text();
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError([{ path: [file.name], message: `is not JSON: ${error.message}` }]);
  }
}

/**
 * Take TOML and JSON files for `path`: those dropped on `area`, and in a dialog that `button` opens.
 *
 * An error of a dropped file is shown in the dialog, too, beside its text.
 */
export function takeFiles({ path, title, about, done }, { button, area }) {
  const open = () => openFileDialog({ path, title, about, done });
  button.addEventListener("click", open);
  onDrop(area, (file) => {
    open();
    loadFile(file, { path, done });
  });
}

const dialog = byId("file-dialog");

function openFileDialog({ path, title, about, done }) {
  const text = part(dialog, "text");
  setText(byId("file-title"), title);
  setText(part(dialog, "about"), about);
  text.value = "";
  onFile(part(dialog, "file"), (file) => loadFile(file, { path, done }));
  onDrop(dialog, (file) => loadFile(file, { path, done }));
  openForm(dialog, { save: () => send(path, new Blob([text.value]), pastedName(text.value), done) });
}

async function loadFile(file, { path, done }) {
  part(dialog, "text").value = await file.text();
  if (await attempt(part(dialog, "problem"), () => send(path, file, file.name, done))) dialog.close();
}

/** Return a name for pasted text: only JSON begins with a brace. */
const pastedName = (text) => (text.trimStart().startsWith("{") ? "pasted.json" : "pasted.toml");

async function send(path, content, name, done) {
  const { loaded } = await call("PUT", `${path}?name=${encodeURIComponent(name)}`, content);
  announce(`${done(loaded)} from ${name}`);
}

function onDrop(area, use) {
  const hasFile = (event) => event.dataTransfer.types.includes("Files");
  area.ondragover = (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    area.classList.add("drop");
  };
  area.ondragleave = () => area.classList.remove("drop");
  area.ondrop = (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    area.classList.remove("drop");
    use(event.dataTransfer.files[0]);
  };
}
