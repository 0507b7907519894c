// Sends a form of ours in the background: {name: value} → the JSON of the answer. Throws an Error
// with the server's sentence when it says no.
export async function sendForm(url, fields) {
  const { "X-CSRF-Token": token } = JSON.parse(document.body.getAttribute("hx-headers:inherited"));
  const headers = { Accept: "application/json", "X-CSRF-Token": token };
  const answer = await fetch(url, { method: "POST", headers, body: new URLSearchParams(fields) }).catch(
    () => undefined,
  );
  if (!answer) throw new Error("The box can't be reached right now. Try again in a moment.");
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.detail ?? "This didn't work. Load the page again.");
  return said;
}
