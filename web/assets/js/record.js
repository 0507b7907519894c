// The recording page.
import { RecordPanel } from "./parts/record/panel.js";

if (!customElements.get("record-panel")) customElements.define("record-panel", RecordPanel);
