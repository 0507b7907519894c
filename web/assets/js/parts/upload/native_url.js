// Stands in for the package url-parse, see build.mjs.
export default URL;
