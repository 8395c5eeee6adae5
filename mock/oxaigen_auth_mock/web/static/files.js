// Files that people choose on the page: JSON, to be handed to the API.

import { Refused, attempt } from "./api.js";

/** Have `use(value, name)` take what is in each file that is chosen; what is refused goes to `slot`. */
export function onJsonFile(input, slot, use) {
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = ""; // so that choosing the same file again is a change again
    if (file) await attempt(slot, async () => use(await read(file), file.name));
  });
}

async function read(file) {
  const text = await file.text();
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Refused([{ path: [file.name], message: `is not JSON: ${error.message}` }]);
  }
}
