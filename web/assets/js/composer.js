// The form that makes a post, while somebody types. Loaded when it is shown.
import "./parts/post/compose.js";
