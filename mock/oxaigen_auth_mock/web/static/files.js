// JSON files that are chosen on the page, for the API.

import { ApiError, attempt } from "./api.js";

/** Call `use(value, name)` with the content of each chosen file, and show errors in `slot`. */
export function onJsonFile(input, slot, use) {
  input.addEventListener("change", async () => {
    const [file] = input.files;
    input.value = ""; // so that choosing the same file again is a change
    if (file) await attempt(slot, async () => use(await read(file), file.name));
  });
}

async function read(file) {
  const text = await file.text();
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ApiError([{ path: [file.name], message: `is not JSON: ${error.message}` }]);
  }
}
