// Files out of drops, pastes and folders, with their handles where the browser has them.
const SYSTEM = /(^|\/)(\.|__MACOSX(\/|$)|Thumbs\.db$|ehthumbs\.db$|desktop\.ini$|\$RECYCLE\.BIN(\/|$)|System Volume Information(\/|$)|lost\+found(\/|$))/i;

export const isSystem = (path) => SYSTEM.test(path);

/** What was dropped or pasted. The items are gone once the event is over: all is asked for now. */
export const itemsOf = (transfer) =>
  [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => ({
      file: item.getAsFile(),
      entry: item.webkitGetAsEntry?.(),
      handle: item.getAsFileSystemHandle?.().catch(() => null),
    }));

/**
 * All files of what was dropped, chosen or pasted, one after the other: `{file, handle, path}`.
 * `path`: where it lay in its folder, "" for a file that was chosen itself. `hidden(name)` is
 * told of what systems leave in folders, which nobody means to send.
 */
export async function* filesOf(items, hidden) {
  for (const { file, entry, handle } of items) {
    const found = (await handle) ?? null;
    const folder = found?.kind === "directory" ? found : entry?.isDirectory ? entry : null;
    const path = file?.webkitRelativePath ?? "";
    if (folder) yield* within(folder, `${folder.name}/`, hidden);
    else if (path && isSystem(path)) hidden(path);
    else if (file) yield { file, handle: found?.kind === "file" ? found : null, path };
  }
}

async function* within(folder, path, hidden) {
  for (const child of await list(folder)) {
    const here = path + child.name;
    if (isSystem(child.name)) hidden(here);
    else if (child.isDirectory || child.kind === "directory") yield* within(child, `${here}/`, hidden);
    else {
      const handle = child.getFile ? child : null;
      const file = await (handle
        ? handle.getFile()
        : new Promise((resolve, reject) => child.file(resolve, reject))
      ).catch(() => null);
      if (file) yield { file, handle, path: here };
      else hidden(here); // gone since the folder was listed
    }
  }
}

async function list(folder) {
  const found = [];
  try {
    if (folder.values) for await (const child of folder.values()) found.push(child);
    else {
      const reader = folder.createReader();
      // It gives about a hundred at a time, and nothing once all were given.
      for (let some = [0]; some.length; found.push(...some)) {
        some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      }
    }
  } catch {
    // A folder that can't be read: what was found of it counts.
  }
  return found.sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
}
