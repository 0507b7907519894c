// Uploads: loaded when the first file comes, or when uploads are unfinished.
import { UploadPanel } from "./parts/upload/panel.js";

if (!customElements.get("upload-panel")) customElements.define("upload-panel", UploadPanel);
